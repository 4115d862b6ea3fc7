"""The service's own secrets in the environment: jobs that run in processes of their own need not see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def needless(environ: Mapping[str, str], kept: Iterable[str]) -> list[str]:
    """Return those that an environment holds, but for those in `kept`."""
    return [name for name in NAMES if name in environ and name not in kept]
