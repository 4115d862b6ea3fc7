"""*Now*: is all well, and if not, what is wrong and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Final

from worker.console import verdict
from worker.console.answers import Page
from worker.console.pages.fleet import functions
from worker.console.pages.letters import Kind, kind
from worker.console.reading.dead import BATCH
from worker.console.requests import Request
from worker.console.site import Site
from worker.dead_letters.filter import Filter
from worker.dead_letters.groups import group
from worker.fleet import server, upcoming
from worker.fleet.history import Sample
from worker.fleet.state import ConsumerState, Fleet

#: Only so many of the newest dead letters are grouped here, and so many groups and running jobs shown.
GROUPED_LETTERS: Final = 1000
MOST_KINDS: Final = 5
MOST_RUNNING: Final = 12
#: How far back the curves reach, and over how long a pace is a mean.
CURVE_SECONDS: Final = 900.0
PACE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its curve. `kind`: what it is to the eye, bad or plain."""

    name: str
    value: float | None
    unit: str
    curve: tuple[float | None, ...]
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """One consumer's oldest job."""

    job_id: str
    consumer: str
    seconds: float | None
    more: int


def show(site: Site, request: Request) -> Page:
    """Return the page."""
    seen = site.fleet()
    fleet, scaler = seen.value, site.autoscaler
    redis = site.look("server", lambda: server.read(site.redis), fresh=5.0)
    judged = verdict.judge(request, seen, site.settings, redis.value, scaler)
    data = {
        "verdict": judged,
        "age": seen.age if fleet else None,
        "trouble": seen.trouble,
        "figures": figures(fleet, site.history.since(monotonic() - CURVE_SECONDS), monotonic()),
        "running": _running(fleet),
        "functions": functions(site, fleet),
        "queues": fleet.queues if fleet else (),
        "releases": _releases(fleet),
        "redis": redis,
        "autoscaler": None if scaler is None or scaler.decision is None else scaler.decision,
        "scales": scaler is not None,
        "dry_run": scaler is not None and scaler.dry_run,
        "coming": site.look("coming", lambda: _coming(site, fleet), fresh=5.0),
        "kinds": site.look("kinds", lambda: _kinds(site), fresh=5.0),
    }
    return Page("now", "Now", data)


def figures(fleet: Fleet | None, samples: list[Sample], now: float) -> list[Figure]:
    """Return the numbers on top, each with the last quarter of an hour."""
    last = samples[-1] if samples else None

    def latest(value: Callable[[Sample], float]) -> float | None:
        return None if last is None else value(last)

    recent = [sample for sample in samples if sample.at > now - PACE_SECONDS]

    def curve(value: Callable[[Sample], float | None]) -> tuple[float | None, ...]:
        return tuple(map(value, samples))

    return [
        Figure("Waiting", latest(lambda s: s.waiting), "jobs", curve(lambda s: s.waiting)),
        Figure(
            "Oldest wait",
            latest(lambda s: s.oldest_wait) if last and last.waiting else None,
            "seconds",
            curve(lambda s: s.oldest_wait),
        ),
        Figure("Running", latest(lambda s: s.running), "jobs", curve(lambda s: s.running)),
        Figure("Done", _mean([s.done for s in recent]), "a minute", curve(lambda s: s.done)),
        Figure("Failing", _mean([s.failed for s in recent]), "a minute", curve(lambda s: s.failed), bad=True),
        Figure(
            "Dead letters",
            fleet.dead_letters if fleet else None,
            "jobs",
            curve(lambda s: s.dead_letters),
            bad=True,
        ),
    ]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _running(fleet: Fleet | None) -> list[Running]:
    busy = [one for one in fleet.consumers if one.jobs] if fleet else []
    busy.sort(key=lambda one: -(one.job_age or 0.0))
    return [Running(one.jobs[0], one.name, one.job_age, len(one.jobs) - 1) for one in busy[:MOST_RUNNING]]


def _releases(fleet: Fleet | None) -> list[tuple[str, int]]:
    """Return the releases that run, with their consumers: two while a deploy goes on."""

    def release(consumer: ConsumerState) -> str:
        return consumer.release or (f"rq {consumer.rq}" if consumer.rq and not consumer.instance else "")

    return Counter(map(release, fleet.consumers)).most_common() if fleet else []


def _coming(site: Site, fleet: Fleet | None) -> upcoming.Coming:
    names = [queue.name for queue in fleet.queues] if fleet else site.settings.worker_queues
    return upcoming.read(site.redis, site.keys, names)


def _kinds(site: Site) -> list[Kind]:
    return [
        kind(one)
        for one in group(islice(site.dead_letters.newest_first(Filter(), BATCH), GROUPED_LETTERS))[:MOST_KINDS]
    ]
