"""The service's own secrets in the environment: jobs that run in processes of their own need not see them."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Final

#: Every variable of ours that holds a secret; in the order of the settings.
NAMES: Final = (
    "REDIS_URL",
    "DEAD_LETTER_ALERT_URL",
    "METRICS_TOKEN",
    "SENTRY_DSN",
    "NOTIFY_SECRET",
    "MONITOR_PASSWORD",
    "MONITOR_VIEW_PASSWORD",
    "RENDER_API_KEY",
)


def drop(environ: MutableMapping[str, str], kept: Iterable[str]) -> None:
    """Take them out of an environment, but for those in `kept`."""
    for name in NAMES:
        if name not in kept:
            environ.pop(name, None)
