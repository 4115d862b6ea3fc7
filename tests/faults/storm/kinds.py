"""The kinds of jobs that a storm's producer enqueues: one function a kind, and one table.

A function yields each job as soon as the server has answered for it: from then on it is *accepted*, and what must
become of it is known exactly.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from rq import Callback, Queue, Repeat, Retry
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit

from tests.faults.storm.jobs import work
from tests.support.checker import RATE_LIMIT

#: What the storm's server takes in one value while nobody lowers it to 1 MiB, and what its services take for a result.
BULK_BYTES: Final = 3 << 20
RESULT_BYTES: Final = 4_000_000

#: A result that expires would look like a lost job, and a job that waits for the server must not time out.
TTL_SECONDS: Final = 86400
TIMEOUT_SECONDS: Final = 120

FINISHED: Final = ("finished",)
#: The end of a job that keeps nothing.
GONE: Final = ("gone",)


@dataclass(frozen=True)
class Expected:
    """What must become of one accepted job: how many rounds it runs, and how it may end.

    `ends` are "finished", "gone" or the reasons of dead letters. It may not run before its `parents` have ended.
    """

    job_id: str
    kind: str
    rounds: int = 1
    ends: tuple[str, ...] = FINISHED
    parents: tuple[str, ...] = ()


@dataclass
class Lot:
    """Where one lot of jobs of a kind goes."""

    kind: str
    queue: Queue
    journal: str
    random: random.Random

    def one(self, function: Callable[..., Any], *arguments: object, **options: Any) -> Job:
        """Enqueue one job."""
        options = {"result_ttl": TTL_SECONDS, "job_timeout": TIMEOUT_SECONDS, **options}
        return self.queue.enqueue(function, self.journal, *arguments, **options)

    def many(self, count: int, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """Return jobs as `enqueue_many` wants them."""
        options = {"result_ttl": TTL_SECONDS, "timeout": TIMEOUT_SECONDS}
        return [Queue.prepare_data(function, (self.journal, *arguments), **options) for _ in range(count)]

    def expect(self, job: Job, rounds: int = 1, ends: tuple[str, ...] = FINISHED, *parents: Job) -> Expected:
        """Say what must become of a job that was accepted."""
        return Expected(job.id, self.kind, rounds, ends, tuple(parent.id for parent in parents))


Kind = Callable[[Lot], Iterator[Expected]]


def short(lot: Lot) -> Iterator[Expected]:
    jobs = lot.queue.enqueue_many(lot.many(lot.random.randrange(1, 40), work.work))
    yield from map(lot.expect, jobs)


def long(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.work, 0.2))


def scheduled(lot: Lot) -> Iterator[Expected]:
    options = {"result_ttl": TTL_SECONDS, "job_timeout": TIMEOUT_SECONDS}
    yield lot.expect(lot.queue.enqueue_in(timedelta(seconds=1), work.work, lot.journal, **options))


def failing(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.fail, 1, 0), 1, ("failed",))


def retried(lot: Lot) -> Iterator[Expected]:
    """At once, after a second, or in vain."""
    yield lot.expect(lot.one(work.fail, 1, 2, retry=Retry(max=2)), 2)
    yield lot.expect(lot.one(work.fail, 2, 2, retry=Retry(max=2, interval=[1, 2])), 3)
    yield lot.expect(lot.one(work.fail, 2, 1, retry=Retry(max=1)), 2, ("attempts_exhausted",))


def returning_retry(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.again, 1), 2)


def repeated(lot: Lot) -> Iterator[Expected]:
    """At once, and each second."""
    yield lot.expect(lot.one(work.work, repeat=Repeat(times=2, interval=0)), 3)
    yield lot.expect(lot.one(work.work, repeat=Repeat(times=3, interval=1)), 4)


def child(lot: Lot) -> Iterator[Expected]:
    """Waits for one other, which may fail."""
    failures = lot.random.randrange(2)
    parent = lot.one(work.fail, failures, 0)
    yield lot.expect(parent, 1, ("failed",) if failures else FINISHED)
    yield lot.expect(lot.one(work.work, depends_on=Dependency([parent], allow_failure=True)), 1, FINISHED, parent)


def child_of_two(lot: Lot) -> Iterator[Expected]:
    """Waits for two others, which may end in the same moment."""
    parents = lot.queue.enqueue_many(lot.many(2, work.work))
    yield from map(lot.expect, parents)
    yield lot.expect(lot.one(work.work, depends_on=parents), 1, FINISHED, *parents)


def child_of_retried(lot: Lot) -> Iterator[Expected]:
    """Waits for one that is tried twice, in vain or not."""
    failures = lot.random.randrange(1, 3)
    parent = lot.one(work.fail, failures, 1, retry=Retry(max=1))
    yield lot.expect(parent, 2, ("attempts_exhausted",) if failures == 2 else FINISHED)
    yield lot.expect(lot.one(work.work, depends_on=Dependency([parent], allow_failure=True)), 1, FINISHED, parent)


def rate_limited(lot: Lot) -> Iterator[Expected]:
    for _ in range(3):
        yield lot.expect(lot.one(work.work, rate_limit=RateLimit(RATE_LIMIT, 2)))
    limited = {"rate_limit": RateLimit(RATE_LIMIT, 2), "retry": Retry(max=1)}
    yield lot.expect(lot.one(work.fail, 1, 1, **limited), 2)


def of_group(lot: Lot) -> Iterator[Expected]:
    group = Group.create(lot.queue.connection, f"storm-{uuid.UUID(int=lot.random.getrandbits(128)).hex}")
    yield from map(lot.expect, group.enqueue_many(lot.queue, lot.many(3, work.work)))


def keeping_nothing(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.work, result_ttl=0), 1, GONE)


def saving_meta(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.note))


def calling_back(lot: Lot) -> Iterator[Expected]:
    """With a callback that takes long: of a consumer with one thread, it goes on beside the next jobs."""
    for failures in (0, 0, 1):
        job = lot.one(work.fail, failures, 0, on_success=Callback(work.take_long), on_failure=Callback(work.take_long))
        yield lot.expect(job, 1, ("failed",) if failures else FINISHED)


def large(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.work, 0, 100_000))


def at_the_limit(lot: Lot) -> Iterator[Expected]:
    """Too large while the server's limits are lowered."""
    yield lot.expect(lot.one(work.work, 0, 1_000_000), 1, ("finished", "outcome_refused"))


def above_the_servers_limit(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.work, 0, 2_800_000), 1, ("outcome_refused",))


def above_our_limit(lot: Lot) -> Iterator[Expected]:
    yield lot.expect(lot.one(work.work, 0, 4_000_000), 1, ("result_too_large",))


#: Each kind as often as its weight.
KINDS: Final[dict[Kind, int]] = {
    short: 60,
    long: 20,
    scheduled: 8,
    failing: 8,
    retried: 10,
    returning_retry: 6,
    repeated: 8,
    child: 12,
    child_of_two: 12,
    child_of_retried: 8,
    rate_limited: 12,
    of_group: 10,
    keeping_nothing: 10,
    saving_meta: 10,
    calling_back: 10,
    large: 4,
    at_the_limit: 2,
    above_the_servers_limit: 2,
    above_our_limit: 2,
}
