"""The whole fleet at one moment: queues, consumers of every instance, dead letters, and what of it wants attention.

``fleet_reading.py`` fills this in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Jobs that so many stops of the service have interrupted are worth a person's look.
NOTICED_HANDBACKS: Final = 3


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue. `next_waits` is how many seconds the job at its head has waited, None when it is empty or unknown."""

    name: str
    waiting: int
    running: int
    scheduled: int
    deferred: int
    failed: int
    next_waits: float | None
    consumers: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """One registered worker, ours or RQ's own, that was heard of `heard` seconds ago.

    `jobs` are the ids that it has claimed, the oldest `job_age` seconds ago. `instance`, `memory_mb` and `release` (the
    commit) are told by ours only; `rq` is RQ's version.
    """

    name: str
    state: str
    queues: tuple[str, ...]
    host: str
    pid: int | None
    heard: float | None
    jobs: tuple[str, ...]
    succeeded: int
    failed: int
    instance: str
    job_age: float | None
    memory_mb: int | None
    release: str
    rq: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at one moment. `stranded` counts claims per worker whose record is gone: they await their rescue.

    `handed_back` says of jobs that run, or stand at the head of a queue, how many stops have interrupted them.
    """

    suspended: bool
    queues: tuple[QueueState, ...]
    consumers: tuple[ConsumerState, ...]
    stranded: dict[str, int]
    letters_queue: str
    dead_letters: int
    handed_back: dict[str, int] = field(default_factory=dict)

    def attention(self) -> list[str]:
        """Say in sentences what a person should look at."""
        told = []
        if self.suspended:
            told.append("All queues are suspended: nothing is claimed until `rq resume`.")
        told += [
            f"{_jobs(queue.waiting)} on {queue.name!r} and no consumer reads it."
            for queue in self.queues
            if queue.waiting and not queue.consumers
        ]
        told += [
            f"The worker {consumer.name} reads {self.letters_queue!r}, which holds dead letters: it runs them again."
            for consumer in self.consumers
            if self.letters_queue in consumer.queues
        ]
        told += [
            f"The worker {name} is gone and holds {count} claimed job{'s' if count > 1 else ''}: a living instance "
            f"takes over within a minute."
            for name, count in self.stranded.items()
        ]
        told += [
            f"{times} stops of the service have interrupted the job {job}: it may need more time than there is between "
            f"deploys. After WORKER_MAX_HANDBACKS of them it becomes a dead letter."
            for job, times in self.handed_back.items()
            if times >= NOTICED_HANDBACKS
        ]
        return told


def _jobs(count: int) -> str:
    return f"{count:,} jobs wait" if count != 1 else "1 job waits"
