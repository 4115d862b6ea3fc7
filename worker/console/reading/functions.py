"""Which functions wait, run and fail, from samples: what waits may be a million jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from redis import Redis

from worker.console.reading import jobs
from worker.dead_letters.groups import Group
from worker.fleet.state import Fleet
from worker.keys import Keys
from worker.text import name_of

#: Jobs that are looked at in each place: half of them at its head, half at its tail.
SAMPLE: Final = 100
#: Queues that are looked at, those with most jobs first.
MOST_QUEUES: Final = 12


@dataclass(slots=True)
class FunctionRow:
    """One function. `waiting`, `failed` and `finished` are shares of a sample, scaled; `running` and `dead` are counts.

    `seconds` are how long the sampled runs took that have finished.
    """

    function: str
    waiting: float = 0.0
    running: int = 0
    finished: float = 0.0
    dead: int = 0
    oldest: float | None = None  #: when the one was enqueued that waits longest of those looked at (Unix seconds)
    seconds: list[float] = field(default_factory=list)
    queues: Counter[str] = field(default_factory=Counter)

    @property
    def median(self) -> float | None:
        """Return the middle one of the sampled times."""
        return sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else None

    @property
    def longest(self) -> float | None:
        """Return the longest of the sampled times."""
        return max(self.seconds, default=None)


@dataclass(frozen=True, slots=True)
class Functions:
    """All functions that were seen in `looked_at` of `of` jobs."""

    rows: tuple[FunctionRow, ...]
    looked_at: int
    of: int


def read(redis: Redis, keys: Keys, fleet: Fleet, kinds: Sequence[Group]) -> Functions:
    """Read samples of the queues and finished jobs; raises `RedisTrouble`."""
    queues = sorted(fleet.queues, key=lambda queue: -(queue.waiting + queue.running))[:MOST_QUEUES]
    running = [job for consumer in fleet.consumers for job in consumer.jobs][: 2 * SAMPLE]
    half = SAMPLE // 2
    with redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            name = keys.queue(queue.name)
            pipe.lrange(name, 0, half - 1)
            pipe.lrange(name, -half, -1)
            pipe.zrevrange(keys.registry("finished", queue.name), 0, SAMPLE - 1)
            pipe.zcard(keys.registry("finished", queue.name))
        replies = pipe.execute()
    table: dict[str, FunctionRow] = {}
    looked_at = of = 0
    for queue, head, tail, finished, count in zip(
        queues, replies[::4], replies[1::4], replies[2::4], replies[3::4], strict=True
    ):
        waiting = list(dict.fromkeys(map(name_of, [*head, *tail])))
        for row in (seen := jobs.rows_for(redis, keys, waiting)):
            one = _of(table, row.function)
            one.waiting += queue.waiting / len(seen)
            if row.enqueued_at is not None:
                one.oldest = min(one.oldest or row.enqueued_at, row.enqueued_at)
            one.queues[queue.name] += 1
        for row in (ended := jobs.rows_for(redis, keys, list(map(name_of, finished)))):
            one = _of(table, row.function)
            one.finished += count / len(ended)
            one.queues[queue.name] += 1
            if row.started_at and row.ended_at:
                one.seconds.append(max(0.0, row.ended_at - row.started_at))
        looked_at += len(waiting) + len(finished)
        of += queue.waiting + count
    for row in jobs.rows_for(redis, keys, running):
        _of(table, row.function).running += 1
    for kind in kinds:
        _of(table, kind.newest.function).dead += kind.count
    rows = sorted(table.values(), key=lambda one: (-one.running, -one.waiting, -one.dead, one.function))
    return Functions(tuple(rows), looked_at + len(running), of + len(running))


def _of(table: dict[str, FunctionRow], function: str) -> FunctionRow:
    return table.setdefault(function, FunctionRow(function))
