"""Defaults of settings that depend on where the service runs: the machine, the platform, the provider of Redis."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Final

from worker.settings import redis_url


def _processes(environ: Mapping[str, str]) -> str | None:
    """As many consumers as the platform wants processes (WEB_CONCURRENCY), else one per CPU.

    Render's smallest plan has "0.5" CPUs; anything unreadable counts as unset.
    """
    count = float(os.cpu_count() or 1)
    for variable in ("WEB_CONCURRENCY", "RENDER_CPU_COUNT"):
        with contextlib.suppress(ValueError):
            number = float(environ.get(variable, ""))
            if 0 < number < math.inf:
                count = number
                break
    return str(min(max(math.floor(count), 1), 64))


def _interval(environ: Mapping[str, str]) -> str | None:
    return "15" if redis_url.is_upstash(redis_url.host(environ.get("REDIS_URL", ""))) else None


def _history_interval(environ: Mapping[str, str]) -> str | None:
    return "60" if redis_url.is_upstash(redis_url.host(environ.get("REDIS_URL", ""))) else None


def _log_format(environ: Mapping[str, str]) -> str:
    return "console" if "RENDER" not in environ and os.isatty(1) else "json"


def _instance(_environ: Mapping[str, str]) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "instance"


#: Defaults that depend on where the service runs.
DERIVED: Final[dict[str, Callable[[Mapping[str, str]], str | None]]] = {
    "worker_processes": _processes,
    "worker_scheduler_interval": _interval,
    "worker_history_interval": _history_interval,
    "worker_unknown_grace": lambda environ: "600" if environ.get("RENDER_GIT_COMMIT") else None,
    "health_port": lambda environ: environ.get("PORT") or None,
    "log_format": _log_format,
    "instance": _instance,
}
