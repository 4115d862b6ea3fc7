"""*Functions*: what waits, runs and fails, by function."""

from __future__ import annotations

from itertools import islice
from typing import Final

from worker.console.answers import Page
from worker.console.reading import functions as reading
from worker.console.reading.dead import BATCH
from worker.console.requests import Request
from worker.console.site import Site
from worker.dead_letters.filter import Filter
from worker.dead_letters.groups import group

#: Functions that are shown.
MOST_FUNCTIONS: Final = 200
_LETTERS: Final = 1000


def show(site: Site, _request: Request) -> Page:
    """Return the page."""
    fleet = site.fleet().value
    seen = site.look("functions-page", lambda: _read(site), fresh=5.0)
    found = seen.value
    data = {
        "age": seen.age if found else None,
        "trouble": seen.trouble,
        "rows": [
            {
                "function": row.function,
                "waiting": row.waiting,
                "running": row.running,
                "finished": row.finished,
                "dead": row.dead,
                "median": row.median,
                "longest": row.longest,
                "sampled": len(row.seconds),
                "queues": [name for name, _ in row.queues.most_common(4)],
            }
            for row in islice(found.rows if found else (), MOST_FUNCTIONS)
        ],
        "looked_at": found.looked_at if found else 0,
        "of": found.of if found else 0,
        "seen": fleet is not None,
    }
    return Page("functions", "Functions", data)


def _read(site: Site) -> reading.Functions | None:
    fleet = site.known_fleet()
    if fleet is None:
        return None
    return reading.read(
        site.redis, site.keys, fleet, group(islice(site.dead_letters.newest_first(Filter(), BATCH), _LETTERS))
    )
