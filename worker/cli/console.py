"""The console, for the commands that serve it beside their probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.settings import Settings

if TYPE_CHECKING:
    from worker.console.app import Console
    from worker.fleet.monitor import Monitor


def console_of(settings: Settings, monitor: Monitor | None = None) -> Console | None:
    """Return the console if a setting opens it. What it needs is only then imported: some megabytes."""
    if not settings.console_is_open:
        return None
    from worker.console.app import Console

    return Console(settings, monitor)
