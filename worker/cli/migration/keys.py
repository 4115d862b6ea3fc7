"""Which of RQ's keys a migration copies, and how: RQ 3.0's key schema, seen as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["list", "zset", "set"]

#: What rq-scheduler keeps, which is what `django_rq.get_scheduler()` uses: the moments of its jobs, those that repeat
#: included, and the lock of the process that moves them. Its names begin with `rq:` whatever RQ's prefix is.
RQ_SCHEDULER_PREFIX: Final = "rq"
RQ_SCHEDULER_JOBS: Final = "scheduler:scheduled_jobs"
RQ_SCHEDULER_LOCK: Final = "scheduler_lock"
#: Keys of processes, not of jobs: their contents would be wrong, or at least old, in another database.
_LEFT: Final = (
    "worker:",
    "workers:",
    "clean_",
    "look:",
    "scheduler:",
    "scheduler-lock:",
    "cron_scheduler:",
    "scheduler_instance:",  # rq-scheduler's
    "rate:",
    "migration:",
)
_LEFT_NAMES: Final = frozenset(
    {
        *("workers", "suspended", "cron_schedulers", "leader", "leader-token", "agenda", "maintained", "origins"),
        *("autoscaler", "autoscaler-lock", "resumed", RQ_SCHEDULER_LOCK),
    }
)
#: Registries whose jobs run, now or later, because they are listed there.
_RUNNING: Final = frozenset({"wip", "scheduled", "deferred", "ready"})
_RESTING: Final = frozenset({"finished", "failed", "canceled"})
_PLAIN_SETS: Final = frozenset({"queues", "groups", "rl-keys", "parked"})


@dataclass(frozen=True, slots=True)
class Index:
    """A key whose members name jobs, or other things (`of_jobs` False).

    `runs`: a job runs because it is listed there. `name` is the key without the prefix.
    """

    name: str
    kind: Kind
    runs: bool = False
    of_jobs: bool = True
    prefix: str = ""  #: another than RQ's


@dataclass(slots=True)
class Inventory:
    """What is to be copied: job ids, indexes, and keys that are copied unless they exist there."""

    job_ids: list[str] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    left: int = 0  #: keys of processes, which stay


def sort_out(names: Iterable[str], letters_queue: str) -> Inventory:
    """Sort keys (without their prefix) into an inventory; `letters_queue` holds dead letters, which do not run."""
    found = Inventory()
    jobs: set[str] = set()
    for name in names:
        kind, _, rest = name.partition(":")
        if name == RQ_SCHEDULER_JOBS:  # a job that repeats may also stand on a queue, so this takes none from there
            found.indexes.append(of_rq_scheduler())
        elif name in _LEFT_NAMES or name.startswith(_LEFT):
            found.left += 1
        elif kind == "job":
            if rest and ":" not in rest:  # its sets, job:<id>:dependents and job::<id>:dependencies, go with it
                jobs.add(rest)
        elif kind in ("results", "executions", "journal", "log"):
            continue  # they go with their job
        elif (index := _index(name, kind, rest, letters_queue)) is not None:
            found.indexes.append(index)
        else:
            found.others.append(name)
    found.job_ids = sorted(jobs)
    # What makes jobs run comes last, and the queues themselves at the very end.
    found.indexes.sort(key=lambda index: (index.runs, index.name.startswith("queue:"), index.name))
    found.others.sort()
    return found


def of_rq_scheduler() -> Index:
    """Return the index that rq-scheduler keeps of its jobs."""
    return Index(RQ_SCHEDULER_JOBS, "zset", prefix=RQ_SCHEDULER_PREFIX)


def _index(name: str, kind: str, rest: str, letters_queue: str) -> Index | None:
    if kind == "queue":
        return Index(name, "list", runs=rest != letters_queue)
    if kind in _RUNNING or kind in _RESTING:
        return Index(name, "zset", runs=kind in _RUNNING)
    if kind == "rl" and rest.endswith((":allowed", ":rate_limited")):
        return Index(name, "zset", runs=rest.endswith(":rate_limited"))
    if name in _PLAIN_SETS:
        return Index(name, "set", of_jobs=False)
    if kind == "group":
        return Index(name, "set")
    return None


def job_of(index: Index, member: str) -> str:
    """Return the id of the job that `member` stands for; "" when it stands for no job."""
    if not index.of_jobs:
        return ""
    return member.rpartition(":")[0] if index.name.startswith("wip:") else member
