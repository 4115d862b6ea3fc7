"""*Fleet*: every instance, its consumers, what each does and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.console.answers import Page
from worker.console.reading import jobs
from worker.console.requests import Request
from worker.console.site import Site
from worker.console.verdict import SILENT_SECONDS
from worker.fleet.state import ConsumerState, Fleet

#: Consumers that are shown.
MOST_CONSUMERS: Final = 500


@dataclass(frozen=True, slots=True)
class Instance:
    """The consumers of one instance, or RQ's own workers of one host; `memory_mb` is their sum, None = unknown."""

    name: str
    ours: bool
    releases: tuple[str, ...]
    memory_mb: int | None
    busy: int
    consumers: tuple[ConsumerState, ...]


def show(site: Site, _request: Request) -> Page:
    """Return the page."""
    seen = site.fleet()
    fleet = seen.value
    data = {
        "age": seen.age if fleet else None,
        "trouble": seen.trouble,
        "instances": instances(fleet) if fleet else [],
        "consumers": len(fleet.consumers) if fleet else 0,
        "most": MOST_CONSUMERS,
        "functions": functions(site, fleet),
        "quiet_ones": [one.function[1:] for one in fleet.pauses if one.function.startswith("@")] if fleet else [],
        "stranded": fleet.stranded if fleet else {},
        "silent": SILENT_SECONDS,
    }
    return Page("fleet", "Fleet", data)


def instances(fleet: Fleet) -> list[Instance]:
    """Return the instances by name, RQ's own workers last."""
    found: dict[tuple[bool, str], list[ConsumerState]] = {}
    for consumer in fleet.consumers[:MOST_CONSUMERS]:
        key = (not consumer.instance, consumer.instance or consumer.host or consumer.name)
        found.setdefault(key, []).append(consumer)
    return [
        Instance(
            name,
            not foreign,
            tuple(sorted({one.release[:7] or f"rq {one.rq}" for one in ones})),
            sum(one.memory_mb or 0 for one in ones) or None,
            sum(bool(one.jobs) for one in ones),
            tuple(ones),
        )
        for (foreign, name), ones in sorted(found.items())
    ]


def functions(site: Site, fleet: Fleet | None) -> dict[str, str]:
    """Return the functions of the jobs that run, the oldest of each consumer, by id."""
    running = tuple(one.jobs[0] for one in (fleet.consumers[:MOST_CONSUMERS] if fleet else ()) if one.jobs)
    seen = site.look(
        ("functions", running),
        lambda: {row.job_id: row.function for row in jobs.rows_for(site.redis, site.keys, running)},
    )
    return seen.value or {}
