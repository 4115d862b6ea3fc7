"""The figures of a result: their names, units, and how samples become one number."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _percentile(share: float) -> Callable[[Sequence[float]], float]:
    def pick(samples: Sequence[float]) -> float:
        ordered = sorted(samples)
        return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]

    return pick


@dataclass(frozen=True)
class Column:
    """One figure of the table. Samples of all rounds are pooled before `pick` chooses."""

    heading: str
    samples: str
    measure: str
    #: Which of the report's tables it stands in.
    table: str
    pick: Callable[[Sequence[float]], float] = statistics.median
    #: Whether the table also says how many times RQ's figure it is.
    ratio: bool = False


SPEED = "Speed"
COST = "Cost"

COLUMNS = (
    Column("no-op jobs/s", "throughput", "throughput", SPEED, ratio=True),
    Column("start on an idle worker, p50 ms", "latency", "latency", SPEED, ratio=True),
    Column("p99 ms", "latency", "latency", SPEED, _percentile(0.99)),
    Column("jobs/s at 20 ms round trip", "distance", "distance", SPEED, ratio=True),
    Column("same, 2 × 16 slots", "distance_slots", "distance_slots", SPEED, ratio=True),
    Column("100 ms I/O jobs/s, 2 × 16 slots", "io", "io", SPEED, ratio=True),
    Column("MB at 2 × 16 slots", "io_pss", "io", COST, ratio=True),
    Column("processes there", "io_processes", "io", COST),
    Column("MB idle", "idle_pss", "latency", COST, ratio=True),
    Column("round trips, single job", "single_round_trips", "single", COST),
    Column("round trips/job, full queue", "full_round_trips", "distance", COST),
    Column("commands sent, single job", "single_commands", "single", COST),
    Column("commands executed/job, full queue", "executed", "throughput", COST),
    Column("CPU ms/job, server included", "cpu", "throughput", COST, ratio=True),
    Column("idle commands/h", "idle_commands", "idle", COST, ratio=True),
)
