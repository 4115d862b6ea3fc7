"""*Schedule*: each line with its next run and its last ones, and the jobs that wait for their time."""

from __future__ import annotations

from worker.console.actions import cron
from worker.console.answers import Done, Page, Problem
from worker.console.reading import schedule as reading
from worker.console.requests import Request
from worker.console.site import Site


def show(site: Site, _request: Request) -> Page:
    """Return the page."""
    fleet = site.fleet().value
    queues = tuple(queue.name for queue in fleet.queues) if fleet else site.settings.worker_queues
    seen = site.look(("schedule", queues), lambda: reading.read(site.redis, site.keys, queues), fresh=3.0)
    found = seen.value
    data = {
        "age": seen.age if found else None,
        "trouble": seen.trouble,
        "lines": found.lines if found else (),
        "delayed": found.delayed if found else (),
        "of": found.of if found else 0,
        "now": found.now if found else 0.0,
        "late": reading.LATE_SECONDS,
    }
    return Page("schedule", "Schedule", data)


def run_now(site: Site, request: Request) -> Done:
    """Enqueue a job of a line."""
    number = request.form.get("number", "")
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise Problem("Which line? Its number is missing.")
    name, who = request.form.get("name", ""), request.visitor.who
    sentence, job_id = cron.run_now(site.redis, site.keys, site.settings, int(number), name, who)
    return Done(sentence, request.job_url(job_id).removeprefix(request.prefix))
