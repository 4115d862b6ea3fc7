"""What can be wrong with an environment, in sentences: misspelt names, values that do not fit, contradictions.

A sentence never shows a secret, nor what may be one. REDIS_URL has a file of its own, ``redis_url.py``.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from worker.errors import Problem
from worker.settings import Settings
from worker.settings.model import facts_of, variable_of

_OURS: Final = ("WORKER_", "HEALTH_", "DEAD_LETTER_", "LOG_", "SENTRY_", "NOTIFY_", "MONITOR_", "AUTOSCALE_")
#: Longer values are shown only in part.
_SHOWN_CHARACTERS: Final = 80


def misspelt(environ: Mapping[str, str]) -> list[Problem]:
    """Find names that look like ours misspelt, which would be ignored silently. Other names may be anybody's."""
    known = [variable_of(name) for name in Settings.model_fields]
    problems = []
    for name in sorted(environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith(_OURS) else []
        if close and name not in known:
            problems.append(Problem(name, "a name that nothing reads", f"its right spelling, perhaps {close[0]}"))
    return problems


def unfit(error: ValidationError, values: Mapping[str, str], environ: Mapping[str, str]) -> list[Problem]:
    """List each value that is not of its setting's type or is out of its bounds."""
    problems = []
    for details in error.errors():
        name = str(details["loc"][0])
        problem = _unfit(name, values.get(name, ""))
        from_port = name == "health_port" and not environ.get("HEALTH_PORT")
        problems.append(replace(problem, variable="PORT") if from_port else problem)
    return problems


def clashes(values: Mapping[str, str]) -> list[Problem]:
    """List a dead-letter queue that consumers would read, even when other values do not fit."""
    letters = values.get("dead_letter_queue", str(Settings.model_fields["dead_letter_queue"].default))
    queues = [name.strip() for name in values.get("worker_queues", "default").split(",")]
    return [_unfit("dead_letter_queue", letters)] if letters in queues else []


def contradictions(settings: Settings, environ: Mapping[str, str]) -> list[Problem]:
    """List values that fit by themselves, but not together or not where the service runs."""
    problems = []
    if settings.worker_allow_private_addresses and "RENDER" in environ:
        problems.append(
            Problem("WORKER_ALLOW_PRIVATE_ADDRESSES", "true on Render", "false: it is for development only")
        )
    if settings.dead_letter_alert_rate:
        problems += [
            _problem(name, "nothing, but DEAD_LETTER_ALERT_RATE is set")
            for name in ("dead_letter_alert_url", "notify_secret")
            if getattr(settings, name) is None
        ]
        if not {"jobs", "jobs.notifications"} & set(settings.worker_job_modules):
            wants = "jobs or jobs.notifications among them, because DEAD_LETTER_ALERT_RATE is set"
            problems.append(Problem("WORKER_JOB_MODULES", "packages without it", wants))
    if settings.monitor_open and ("RENDER" in environ or not _is_loopback(settings.health_host)):
        problems.append(_problem("monitor_open", f"true, and HEALTH_HOST is {_shown(settings.health_host)}"))
    if settings.monitor_password is not None and settings.monitor_password == settings.monitor_view_password:
        problems.append(_problem("monitor_view_password", "the same as MONITOR_PASSWORD"))
    if settings.monitor_proxy_header and not settings.monitor_proxy_addresses:
        problems.append(_problem("monitor_proxy_addresses", "nothing, but MONITOR_PROXY_HEADER is set"))
    if settings.autoscale_min > settings.autoscale_max:
        problems.append(_unfit("autoscale_max", str(settings.autoscale_max)))
    return problems


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unfit(name: str, value: str) -> Problem:
    return _problem(name, "a secret that does not fit" if facts_of(name)["secret"] else _shown(value))


def _problem(name: str, got: str) -> Problem:
    """Describe a problem: what the setting wants, and what it `got` in words that may be shown."""
    facts = facts_of(name)
    return Problem(variable_of(name), got, facts["wants"], facts["example"])


def _shown(text: str) -> str:
    """Quote a value that does not fit, but not a URL or DSN with a password that was put into the wrong variable."""
    if "@" in text:
        return "a text with @ in it (not shown: it may hold a password)"
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
