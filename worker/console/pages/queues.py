"""*Queues*: what waits where, for how long, and who works on it."""

from __future__ import annotations

from worker.console.answers import Page
from worker.console.requests import Request
from worker.console.site import Site


def show(site: Site, _request: Request) -> Page:
    """Return the page."""
    seen = site.fleet()
    fleet = seen.value
    data = {
        "age": seen.age if fleet else None,
        "trouble": seen.trouble,
        "queues": fleet.queues if fleet else (),
        "ours": site.settings.worker_queues,
        "unread": fleet.unread if fleet else 0,
        "suspended": fleet.suspended if fleet else False,
        "letters_queue": site.settings.dead_letter_queue,
    }
    return Page("queues", "Queues", data)
