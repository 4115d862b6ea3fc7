"""Jobs that die by the thousand, and how far above its bound the dead-letter queue ever stands.

`python -m tests.faults.flood` puts the jobs on the queue first, so that no producer takes a core from those who bury
them, lets a service run them, and prints the rate and the peak of each second. The rule (docs/dead-letters.md): above
the bound stands no more than what has died within the last few seconds; `Flood.lag` is how many these were.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually

LETTERS = "rq:queue:dead-letter"
SAMPLE_SECONDS = 0.02
#: Jobs that are put on the queue at once.
LOT = 1000


@dataclass(frozen=True)
class Sample:
    """One look. `died` counts since the beginning, `letters` stand on the queue."""

    at: float
    died: int
    letters: int


@dataclass
class Flood:
    """What was seen while jobs died."""

    bound: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Jobs that died a second, from the first to the last."""
        first, last = self.samples[0], self.samples[-1]
        return (last.died - first.died) / (last.at - first.at)

    @property
    def peak(self) -> int:
        """The most letters that ever stood above the bound."""
        return max(0, *(sample.letters - self.bound for sample in self.samples))

    @property
    def lag(self) -> float:
        """Within how many seconds so many jobs had died as stood above the bound, where it was worst."""
        worst, at = 0.0, 0
        for sample in self.samples:
            surplus = max(0, sample.letters - self.bound)
            while self.samples[at + 1].at < sample.at and self.samples[at + 1].died <= sample.died - surplus:
                at += 1
            if surplus:
                worst = max(worst, sample.at - self.samples[at].at)
        return worst

    def seconds(self) -> Iterator[tuple[int, int]]:
        """Return, for each second, how many died and how many stood above the bound at most."""
        first = self.samples[0]
        for number in range(int(self.samples[-1].at - first.at)):
            within = [sample for sample in self.samples if number <= sample.at - first.at < number + 1]
            if within:
                yield within[-1].died - within[0].died, max(0, *(sample.letters - self.bound for sample in within))


def flood(server: RedisServer, seconds: float, *, jobs: int, bound: int, consumers: int = 2) -> Flood:
    """Let jobs die as fast as they do, until none is left, for `seconds` at most."""
    seen = Flood(bound)
    environ = {"DEAD_LETTER_MAX_JOBS": str(bound), "WORKER_PROCESSES": str(consumers), "WORKER_QUEUES": "default"}
    with server.client() as redis:
        for at in range(0, jobs, LOT):
            lot = [Queue.prepare_data(tasks.boom, ("a shop does not answer",)) for _ in range(min(LOT, jobs - at))]
            Queue("default", connection=redis).enqueue_many(lot)
        with Service(server.url, **environ):
            eventually(lambda: redis.llen(LETTERS) > 0, 60, what="the first dead letter")
            until = time.monotonic() + seconds
            while not seen.samples or (time.monotonic() < until and seen.samples[-1].died < jobs):
                seen.samples.append(_look(redis, jobs))
                time.sleep(SAMPLE_SECONDS)
    return seen


def _look(redis: redis_py.Redis, jobs: int) -> Sample:
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.llen("rq:queue:default")
        pipeline.zcard("rq:wip:default")
        pipeline.llen(LETTERS)
        waiting, claimed, letters = pipeline.execute()
    return Sample(time.monotonic(), jobs - waiting - claimed, letters)


def main() -> None:
    """Flood a dead-letter queue from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=60_000)
    parser.add_argument("--bound", type=int, default=2000)
    parser.add_argument("--consumers", type=int, default=2)
    given = parser.parse_args()
    with RedisServer() as server:
        seen = flood(server, given.seconds, jobs=given.jobs, bound=given.bound, consumers=given.consumers)
    for number, (died, above) in enumerate(seen.seconds(), 1):
        print(f"second {number:2}: {died:5} died, at most {above:5} above the bound of {given.bound}")
    print(f"{seen.rate:.0f} died a second; peak {seen.peak} above the bound: what had died in {seen.lag:.1f} s")


if __name__ == "__main__":
    main()
