"""*Functions*: what waits, runs and fails, by function; what each has done in the last hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from time import time
from typing import Any, Final

from worker.console.answers import Page, Problem
from worker.console.reading import functions as reading
from worker.console.reading.dead import BATCH
from worker.console.requests import Request
from worker.console.site import Site
from worker.dead_letters.filter import Filter
from worker.dead_letters.groups import group
from worker.engine import past
from worker.engine.past import Past
from worker.tallies import SHARES, Tally, quantile

#: Functions that are shown.
MOST_FUNCTIONS: Final = 200
_LETTERS: Final = 1000
#: How far back the history may be looked at, in words and seconds, and how long it counts as fresh.
REACHES: Final = {
    "1h": ("an hour", 3600.0, 10.0),
    "8h": ("8 hours", 8 * 3600.0, 30.0),
    "72h": ("72 hours", 259200.0, 60.0),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: a value a piece."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Some curves over the same pieces. `now`: what stands at their end in another way, as a name and a value."""

    title: str
    seconds: bool  #: whether values are times; else they are counts
    curves: tuple[Curve, ...]
    now: Curve | None = None


def show(site: Site, request: Request) -> Page:
    """Return the page."""
    fleet = site.fleet().value
    since, function = request.text("since", 10) or "1h", request.text("function", 500)
    if since not in REACHES:
        raise Problem(f"The history reaches back {', '.join(words for words, *_ in REACHES.values())}.")
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
                "oldest": row.oldest,
                "sampled": len(row.seconds),
                "queues": [name for name, _ in row.queues.most_common(4)],
            }
            for row in islice(found.rows if found else (), MOST_FUNCTIONS)
        ],
        "looked_at": found.looked_at if found else 0,
        "of": found.of if found else 0,
        "seen": fleet is not None,
        "since": since,
        "function": function,
        "reaches": {name: words for name, (words, *_) in REACHES.items()},
        **_past(site, since, function, {row.function: row.oldest for row in (found.rows if found else ())}),
    }
    return Page("functions", function or "Functions", data)


def _past(site: Site, since: str, function: str, oldest: dict[str, float | None]) -> dict[str, Any]:
    """Return what was done: a row for each function, and the charts of the one that is asked for."""
    _, seconds, fresh = REACHES[since]
    seen = site.look(("past", since), lambda: past.read(site.redis, site.keys, seconds), fresh=fresh)
    known = seen.value
    if known is None:
        return {"history": (), "charts_of": (), "marks": (), "begin": None, "period": 0, "past_trouble": seen.trouble}
    rows = []
    for name in past.by_volume(known)[:MOST_FUNCTIONS]:
        whole = known.whole(name)
        rows.append(
            {
                "function": name,
                "processed": whole.processed,
                "failed": whole.failed,
                "buried": whole.buried,
                "run": {share: quantile(whole.run, part) for share, part in SHARES},
                "wait": {share: quantile(whole.wait, part) for share, part in SHARES},
                "oldest": oldest.get(name),
                "runs": tuple(None if one is None else float(one.processed) for one in known.functions[name]),
            }
        )
    length = known.period * max((len(pieces) for pieces in known.functions.values()), default=1)
    return {
        "history": rows,
        "charts_of": _charts(known, function, oldest.get(function)) if function in known.functions else (),
        "marks": tuple(((mark.at - known.begin) / length, mark.release[:12], mark.at) for mark in known.deploys),
        "begin": known.begin,
        "period": known.period,
        "past_trouble": seen.trouble,
    }


def _charts(known: Past, function: str, oldest: float | None) -> tuple[Chart, ...]:
    pieces = known.functions[function]

    def curve(name: str, value: Callable[[Tally], float | None]) -> Curve:
        return Curve(name, tuple(None if one is None else value(one) for one in pieces))

    def times(of: Callable[[Tally], dict[int, int]]) -> tuple[Curve, ...]:
        return tuple(curve(name, lambda one, part=part: quantile(of(one), part)) for name, part in SHARES)  # type: ignore[misc]

    waits = Curve("oldest waiting now", (max(0.0, time() - oldest),)) if oldest is not None else None
    return (
        Chart("What runs took", True, times(lambda one: one.run)),
        Chart("How long they had waited", True, times(lambda one: one.wait), waits),
        Chart(
            "Runs and failures",
            False,
            (curve("runs", lambda one: float(one.processed)), curve("failed", lambda one: float(one.failed))),
        ),
    )


def _read(site: Site) -> reading.Functions | None:
    fleet = site.known_fleet()
    if fleet is None:
        return None
    return reading.read(
        site.redis, site.keys, fleet, group(islice(site.dead_letters.newest_first(Filter(), BATCH), _LETTERS))
    )
