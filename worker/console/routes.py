"""Every path of the console. A route that acts takes a POST from a page of this console, by somebody who may act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from worker.console.answers import Done, Download, Page
from worker.console.pages import dead, fleet, functions, job, jobs, now, pausing, queues, schedule
from worker.console.requests import Request
from worker.console.site import Site


@dataclass(frozen=True, slots=True)
class Route:
    """`path` ends with a slash where any text may follow."""

    path: str
    page: Callable[[Site, Request], Page | Done | Download]
    acts: bool = False


#: The pages in the head of each page: path, name, template.
TABS: Final = (
    ("/", "Now", "now"),
    ("/queues", "Queues", "queues"),
    ("/jobs", "Jobs", "jobs"),
    ("/dead", "Dead letters", "dead"),
    ("/schedule", "Schedule", "schedule"),
    ("/fleet", "Fleet", "fleet"),
    ("/functions", "Functions", "functions"),
)
ROUTES: Final = (
    Route("/", now.show),
    Route("/queues", queues.show),
    Route("/jobs", jobs.show),
    Route("/jobs/", job.show),
    Route("/dead", dead.show),
    Route("/dead/replay", dead.plan),
    Route("/dead/discard", dead.plan),
    Route("/dead/runs/", dead.run),
    Route("/dead/audit", dead.audit),
    Route("/schedule", schedule.show),
    Route("/fleet", fleet.show),
    Route("/functions", functions.show),
    Route("/do/job-again", job.act, acts=True),
    Route("/do/job-cancel", job.act, acts=True),
    Route("/do/job-stop", job.act, acts=True),
    Route("/do/queue-empty", queues.empty, acts=True),
    Route("/do/pause", pausing.pause, acts=True),
    Route("/do/resume", pausing.resume, acts=True),
    Route("/do/cron-run", schedule.run_now, acts=True),
    Route("/do/dead-replay", dead.replay, acts=True),
    Route("/do/dead-abort", dead.abort, acts=True),
    Route("/do/dead-discard", dead.discard, acts=True),
    Route("/do/dead-edit", dead.edit, acts=True),
    Route("/do/dead-undo", dead.edit, acts=True),
    Route("/do/dead-export", dead.export, acts=True),
)
_EXACT: Final = {(route.acts, route.path): route for route in ROUTES}


def find(method: str, path: str) -> Route | Page:
    """Return the route, or the page that says why there is none."""
    if method not in ("GET", "HEAD", "POST"):
        return _none("Only GET, HEAD and POST are answered here.", HTTPStatus.METHOD_NOT_ALLOWED, "GET, HEAD, POST")
    acts = method == "POST"
    for route in (_EXACT.get((acts, path)), _EXACT.get((acts, f"{path.rpartition('/')[0]}/"))):
        if route is not None and (route.path == path or route.path != "/"):
            return route
    if (not acts, path) in _EXACT:
        allowed = "GET, HEAD" if acts else "POST"
        return _none(f"Here only {allowed} is answered.", HTTPStatus.METHOD_NOT_ALLOWED, allowed)
    return _none("There is no such page.", HTTPStatus.NOT_FOUND)


def _none(sentence: str, status: HTTPStatus, allowed: str = "") -> Page:
    headers = {"Allow": allowed} if allowed else {}
    return Page("problem", status.phrase, {"problem": sentence}, status, headers)
