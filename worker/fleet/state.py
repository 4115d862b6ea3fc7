"""The whole fleet at one moment: queues, consumers of every instance, dead letters, and what needs attention.

``reading.py`` fills this in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from worker.fleet.pauses import Pause
from worker.text import counted

#: A job that this many stops of the service have interrupted needs attention.
NOTICED_HANDBACKS: Final = 3


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue. `next_waits`: for how many seconds the job has waited that waits longest; None = empty or unknown.

    A wait begins when a job is put on the queue, also when it was handed back, is tried again or replayed. `paused`:
    our consumers claim nothing from it. Jobs that were put aside because of a pause and may go on count as waiting.
    """

    name: str
    waiting: int
    running: int
    scheduled: int
    deferred: int
    failed: int
    next_waits: float | None
    consumers: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """One registered worker, ours or RQ's own, whose last heartbeat is `heard` seconds old.

    `jobs` are the ids that it has claimed, the oldest `job_age` seconds ago. `instance`, `memory_mb`, `release` (the
    commit), `isolation` (WORKER_ISOLATION) and `threads` are known of ours only; `rq` is RQ's version.
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
    isolation: str = ""
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Concern:
    """What a person should look at: a sentence, the page of the console that shows more, and the name it is `about`."""

    sentence: str
    page: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at one moment. `stranded` counts the claims of each worker whose record is gone, before their rescue.

    `handed_back` counts the stops that have interrupted a job, for jobs that run or stand at the head of a queue;
    `standing` says where those of them stand that keep steps or cursors.
    `unread` is how many queues there are besides those that were read.
    """

    suspended: bool
    queues: tuple[QueueState, ...]
    consumers: tuple[ConsumerState, ...]
    stranded: dict[str, int]
    letters_queue: str
    dead_letters: int
    handed_back: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    standing: dict[str, str] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    now: float = 0.0  #: the server's time (Unix seconds)

    def attention(self) -> list[str]:
        """Return sentences about what a person should look at."""
        return [concern.sentence for concern in self.concerns()]

    def concerns(self) -> list[Concern]:
        """Return what a person should look at."""
        found = []
        if self.suspended:
            found.append(Concern("All queues are suspended: nothing is claimed until `rq resume`.", "queues"))
        found += [
            Concern(pause.sentence(self.now), "fleet" if pause.instance else "queues", pause.queue)
            for pause in self.pauses
        ]
        found += [
            Concern(f"{jobs_wait(queue.waiting)} on {queue.name!r} and no consumer reads it.", "queues", queue.name)
            for queue in self.queues
            if queue.waiting and not queue.consumers
        ]
        found += [
            Concern(
                f"The worker {consumer.name} reads {self.letters_queue!r}, which holds dead letters: it runs them "
                f"again.",
                "fleet",
                consumer.name,
            )
            for consumer in self.consumers
            if self.letters_queue in consumer.queues
        ]
        found += [
            Concern(
                f"The worker {name} is gone and holds {counted(count, 'claimed job')}: a living instance takes over "
                f"within a minute.",
                "fleet",
                name,
            )
            for name, count in self.stranded.items()
        ]
        found += [
            Concern(
                f"{times} stops of the service have interrupted the job {job}: it may take longer than the time "
                f"between deploys. After WORKER_MAX_HANDBACKS stops it becomes a dead letter.",
                "jobs",
                job,
            )
            for job, times in self.handed_back.items()
            if times >= NOTICED_HANDBACKS
        ]
        if self.unread:
            found.append(
                Concern(
                    f"{counted(self.unread, 'more queue')} exist and were not looked at. Does a producer make names of "
                    f"queues from its data?",
                    "queues",
                )
            )
        return found


def jobs_wait(count: int) -> str:
    """Return "1 job waits" or "2 jobs wait"."""
    return counted(count, "job waits", "jobs wait")
