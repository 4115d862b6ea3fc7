"""*Queues*: what waits where, for how long, and who works on it."""

from __future__ import annotations

from worker.console.actions import queues as acting
from worker.console.answers import Done, Page, Problem
from worker.console.requests import Request, inexact
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
        "pauses": [
            {"function": one.function, "queue": one.queue, "sentence": one.sentence(fleet.now)} for one in fleet.pauses
        ]
        if fleet
        else [],
        "letters_queue": site.settings.dead_letter_queue,
    }
    return Page("queues", "Queues", data)


def empty(site: Site, request: Request) -> Done:
    """Delete the jobs that wait on a queue, as many as were shown."""
    form, count = request.form, request.form.get("count", "")
    if form.get("sure") != "yes" or not (count.isascii() and count.isdigit() and len(count) < 12):
        raise Problem("Emptying a queue cannot be undone: tick the box that says so.")
    queue, who = inexact(form.get("queue", "")), request.visitor.who
    return Done(acting.empty(site.redis, site.keys, site.settings, queue, int(count), who=who), "/queues")
