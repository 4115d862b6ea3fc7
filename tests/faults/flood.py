"""Jobs that die by the thousand, and how far above its bound the dead-letter queue ever stands.

`python -m tests.faults.flood` has a real dispatcher, and beside it some *undertakers*: processes that claim and bury
with the engine's own scripts, as consumers do, and leave out what a consumer does between the two, so that two cores
are enough for more burials than two cores' consumers manage. `--consumers 2` has a whole service instead. It prints the
rate and the peak of each second. The rule (docs/dead-letters.md): above the bound stands no more than what has died
within the last few seconds; `Flood.lag` is how many these were.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import processes, tasks
from tests.support.engine import LETTERS, desk
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker import logs
from worker.dispatcher.loop import Dispatcher
from worker.engine.outcomes import Decider
from worker.engine.records import Buried, Claim
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot
from worker.process.wakeup import Wakeup
from worker.settings.load import load

SAMPLE_SECONDS = 0.02
#: Jobs that an undertaker claims, and buries, in one exchange.
BATCH = 16
#: Jobs that are put on the queue at once.
LOT = 1000
UNDERTAKERS = 2


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


def flood(server: RedisServer, seconds: float, *, bound: int, rate: int, consumers: int = 0) -> Flood:
    """Let `rate` jobs die a second, or as many as `consumers` of a real service manage, if that is not 0."""
    seen, jobs = Flood(bound), int(rate * (seconds + 5))
    with server.client() as redis:
        for at in range(0, jobs, LOT):
            lot = [Queue.prepare_data(tasks.boom, ("a shop does not answer",)) for _ in range(min(LOT, jobs - at))]
            Queue("default", connection=redis).enqueue_many(lot)
        with service(server.url, bound, consumers) if consumers else instance(server.url, bound, rate):
            eventually(lambda: redis.llen(f"rq:queue:{LETTERS}") > 0, 60, what="the first dead letter")
            until = time.monotonic() + seconds
            while not seen.samples or (time.monotonic() < until and seen.samples[-1].died < jobs):
                seen.samples.append(_look(redis, jobs))
                time.sleep(SAMPLE_SECONDS)
    return seen


@contextmanager
def service(url: str, bound: int, consumers: int) -> Iterator[None]:
    """Run a whole service."""
    environ = {"DEAD_LETTER_MAX_JOBS": str(bound), "WORKER_PROCESSES": str(consumers), "WORKER_QUEUES": "default"}
    with Service(url, **environ):
        yield


@contextmanager
def instance(url: str, bound: int, rate: int) -> Iterator[None]:
    """Run a dispatcher and undertakers."""
    environ = {"DEAD_LETTER_MAX_JOBS": str(bound), "WORKER_QUEUES": "default", "REDIS_URL": url}
    scoreboard = Scoreboard(UNDERTAKERS)
    fork = multiprocessing.get_context("fork")
    undertakers = [fork.Process(target=_bury, args=(url, slot, rate / UNDERTAKERS)) for slot in scoreboard.consumers]
    children = [fork.Process(target=_dispatch, args=(environ, scoreboard)), *undertakers]
    for child in children:
        child.start()
    try:
        yield
        assert all(child.is_alive() for child in children), "a process has ended by itself"
    finally:
        for child in children:
            child.kill()
            child.join()


def _dispatch(environ: dict[str, str], scoreboard: Scoreboard) -> None:
    processes.belong_to_the_tests()
    logs.configure("ERROR", "json")
    Dispatcher(load(environ), scoreboard, Wakeup(), Wakeup(), "flood.dispatcher", scoreboard.dispatcher).run()


def _bury(url: str, slot: Slot, rate: float) -> None:
    """Claim and bury, `rate` jobs a second."""
    processes.belong_to_the_tests()
    slot.pid = os.getpid()
    redis = redis_py.Redis.from_url(url)
    claims = desk(redis, f"undertaker-{slot.index}")
    decider = Decider("undertaker", LETTERS, max_crashes=3, result_ttl=500, now=lambda: datetime.now(UTC))
    held = claims.settle_and_claim([], 1).claims
    job = Job.fetch(held[0].job_id, connection=redis)
    example = _burial(decider, held[0], job)
    began, done = time.monotonic(), 0
    while held:
        held = claims.settle_and_claim([replace(example, claim=claim) for claim in held], BATCH).claims
        slot.buried += len(held)
        done += len(held)
        time.sleep(max(0.0, began + done / rate - time.monotonic()))


def _burial(decider: Decider, claim: Claim, job: Job) -> Buried:
    """Return what a consumer makes of a job that raises."""
    try:
        job.func(*job.args)
    except ValueError as error:
        now = time.monotonic()
        return decider.bury("failed", claim, now, now, job=job, error=error, attempts=1)
    raise AssertionError(job.func_name)


def _look(redis: redis_py.Redis, jobs: int) -> Sample:
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.llen("rq:queue:default")
        pipeline.zcard("rq:wip:default")
        pipeline.llen(f"rq:queue:{LETTERS}")
        waiting, claimed, letters = pipeline.execute()
    return Sample(time.monotonic(), jobs - waiting - claimed, letters)


def main() -> None:
    """Flood a dead-letter queue from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--bound", type=int, default=2000)
    parser.add_argument("--consumers", type=int, default=0)
    given = parser.parse_args()
    with RedisServer() as server:
        seen = flood(server, given.seconds, bound=given.bound, rate=given.rate, consumers=given.consumers)
    for number, (died, above) in enumerate(seen.seconds(), 1):
        print(f"second {number:2}: {died:5} died, at most {above:5} above the bound of {given.bound}")
    print(f"{seen.rate:.0f} died a second; peak {seen.peak} above the bound: what had died in {seen.lag:.1f} s")


if __name__ == "__main__":
    main()
