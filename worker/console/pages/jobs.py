"""*Jobs*: search by id, text, function, queue, status and time, in a bounded time a page."""

from __future__ import annotations

from dataclasses import replace
from time import time
from typing import Final

from worker.console.answers import Page, Problem
from worker.console.reading import jobs as reading
from worker.console.reading.jobs import JobPage, Wanted
from worker.console.requests import Request
from worker.console.site import Site
from worker.dead_letters.filter import moment

MOST_JOBS: Final = 50
_FIELDS: Final = ("text", "function", "queue", "status", "since", "until")


def show(site: Site, request: Request) -> Page:
    """Return the page."""
    wanted, cursor = _wanted(request), request.text("cursor", 2000)
    texts = {name: request.text(name, 500) for name in _FIELDS}
    seen = site.look(("jobs", wanted, cursor, request.visitor.may_act), lambda: _found(site, request, wanted, cursor))
    page = seen.value
    data = {
        "age": seen.age if page else None,
        "trouble": seen.trouble,
        "rows": page.rows if page else (),
        "sentence": page.sentence() if page else "",
        "next": page.cursor if page else "",
        "cursor": cursor,
        "wanted": texts,
        "statuses": reading.STATUSES,
    }
    return Page("jobs", "Jobs", data)


def _found(site: Site, request: Request, wanted: Wanted, cursor: str) -> JobPage:
    """Search. Who may not see arguments finds no job by their text, and no description shows them."""
    if request.visitor.may_act:
        return reading.search(site.redis, site.keys, wanted, cursor=cursor, most=MOST_JOBS)
    if wanted.text:
        rows = reading.rows_of(site.redis, site.keys, [wanted.text])
        return JobPage(tuple(replace(row, description="") for row in rows), len(rows), len(rows), "")
    page = reading.search(site.redis, site.keys, wanted, cursor=cursor, most=MOST_JOBS)
    return replace(page, rows=tuple(replace(row, description="") for row in page.rows))


def _wanted(request: Request) -> Wanted:
    times: dict[str, float | None] = {}
    for name in ("since", "until"):
        text = request.text(name, 100)
        try:
            # By the minute, so that the same question asked again is the same.
            times[name] = moment(text, now=lambda: time() // 60 * 60) if text else None
        except (ValueError, OverflowError) as error:
            raise Problem(f"{error}.") from None
    status = request.text("status", 50)
    if status and status not in reading.STATUSES:
        raise Problem(f"There is no such status. There are {', '.join(reading.STATUSES)}.")
    return Wanted(
        request.text("text", 500),
        request.text("function", 500),
        request.text("queue", 500),
        status,
        times["since"],
        times["until"],
    )
