"""Step `latency`: how long does a round trip take?"""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, quantiles
from time import perf_counter
from typing import Final

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Status

PINGS: Final = 50
#: p50 below this many milliseconds → where the server probably is. Rules of thumb: light in fibre takes 1 ms for 100 km
#: and back, providers name 1–2 ms between zones of a region.
_PLACES: Final = (
    (0.5, "on this machine or beside it"),
    (3.0, "in the same region"),
    (30.0, "in another region nearby"),
    (90.0, "on the same continent, far away"),
    (float("inf"), "on another continent"),
)
#: Warn from here on: a job that talks to Redis pays this again and again.
_FAR_MS: Final = 30.0
#: Warn when p99 is above `_ROUGH_MS` and this many times p50: the network or the server stalls.
_ROUGH_FACTOR: Final = 10
_ROUGH_MS: Final = 50.0


def check_latency(case: Case) -> Found:
    """PING up to 50 times, as many as fit into the step's time."""
    samples: list[float] = []
    while len(samples) < PINGS and (case.left > 0.01 or not samples):
        began = perf_counter()
        case.redis.ping()
        samples.append((perf_counter() - began) * 1000)
    measured = summary(samples)
    place = next(words for limit, words in _PLACES if measured["p50"] < limit)
    found = Found(
        f"p50 {measured['p50']:.2f} ms · min {measured['min']:.2f} · p99 {measured['p99']:.2f} · "
        f"jitter {measured['jitter']:.2f} · {place}",
        facts={**{f"{name}_ms": value for name, value in measured.items()}, "pings": len(samples)},
    )
    if measured["p50"] >= _FAR_MS:
        found.add(
            Status.WARNING,
            f"A round trip takes {measured['p50']:.0f} ms: the server is {place}.",
            "Put the worker and Redis into the same region; until then each call of a job to Redis takes that long.",
        )
    if measured["p99"] >= _ROUGH_MS and measured["p99"] > _ROUGH_FACTOR * measured["p50"]:
        found.add(
            Status.WARNING,
            f"Some round trips take {measured['p99']:.0f} ms, most {measured['p50']:.1f} ms.",
            "Slow commands (SLOWLOG GET), a throttled plan or a lossy network cause this: observe it with --watch.",
        )
    return found


def summary(samples: list[float]) -> dict[str, float]:
    """Return min, p50, p99, max and jitter (mean difference of neighbours) of some milliseconds."""
    cuts = quantiles(samples, n=100, method="inclusive") if len(samples) > 1 else [samples[0]] * 99
    steps = [abs(later - earlier) for earlier, later in pairwise(samples)]
    figures = {"min": min(samples), "p50": cuts[49], "p99": cuts[98], "max": max(samples)}
    figures["jitter"] = fmean(steps) if steps else 0.0
    return {name: round(value, 3) for name, value in figures.items()}
