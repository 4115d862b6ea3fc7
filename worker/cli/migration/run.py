"""Copy a queue database to another one: jobs, results, queues, registries, dead letters, caches.

The source is only read. What makes a job run (its place in a queue) comes last, after its data, and each place is taken
once: scripts on the target record what they did in the same step (``migration:*`` sets), so that a migration that was
killed, or ran an hour ago, goes on where it stopped. Jobs that the target took over belong to it from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from redis import Redis

from worker.cli.migration.copying import Words, batched, read_jobs, read_key, score
from worker.cli.migration.keys import (
    RQ_SCHEDULER_LOCK,
    RQ_SCHEDULER_PREFIX,
    Index,
    Inventory,
    job_of,
    of_rq_scheduler,
    sort_out,
)
from worker.keys import Keys
from worker.redis.scripts import source

#: Jobs, or members of an index, in one round trip.
BATCH: Final = 100
#: How long the target remembers what was copied: a second run, after the switch, copies what was added later.
REMEMBER_SECONDS: Final = 30 * 86400
PLACE: Final = source("migrate_place")
ADMIT: Final = source("migrate_admit")

#: Called with what is being copied, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Count:
    """One line of the account. `left_out`: members without a job, or whose job's id the target uses for another job."""

    what: str
    source: int = 0
    carried: int = 0  #: by this run
    before: int = 0  #: by an earlier run, or there already
    left_out: int = 0

    @property
    def missing(self) -> int:
        """Return how many are not accounted for."""
        return self.source - self.carried - self.before - self.left_out


@dataclass(slots=True)
class Account:
    """What a run found and did."""

    counts: list[Count] = field(default_factory=list)
    left: int = 0  #: keys of processes, which stay behind

    @property
    def missing(self) -> int:
        """Return how many of all are not accounted for."""
        return sum(max(0, count.missing) for count in self.counts)


class Migration:
    """One run from `source` to `target`, under RQ's key prefix; neither client may decode responses."""

    def __init__(
        self, source: Redis, target: Redis, keys: Keys, letters_queue: str, progress: Progress = lambda *_: None
    ) -> None:
        self._source, self._target, self._keys = source, target, keys
        self._letters_queue = letters_queue
        self._progress = progress
        self._marks = [keys.migration(name) for name in ("admitted", "copied", "moved")]
        self._place: Callable[..., Any] = target.register_script(PLACE)
        self._admit: Callable[..., Any] = target.register_script(ADMIT)

    def inventory(self) -> Inventory:
        """List what the source holds."""
        pattern = self._keys.named("*")  # RQ allows no character in a prefix that patterns do not take literally
        cut = len(self._keys.named(""))
        names = (key.decode()[cut:] for key in self._source.scan_iter(match=pattern, count=1000))
        found = sort_out(names, self._letters_queue)
        own = of_rq_scheduler()
        if self._keys.prefix != own.prefix and self._source.exists(self._key(own)):
            found.indexes.append(own)
        return found

    def _key(self, index: Index) -> str:
        return f"{index.prefix}:{index.name}" if index.prefix else self._keys.named(index.name)

    def live_workers(self) -> list[str]:
        """Return the workers that are alive on the source: they would run jobs that are being copied."""
        keys: list[bytes] = sorted(self._source.smembers(self._keys.all_workers))  # type: ignore[arg-type]
        with self._source.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            alive = pipeline.execute()
        return [key.decode().rpartition(":worker:")[2] for key, there in zip(keys, alive, strict=True) if there]

    def scheduler_runs(self) -> bool:
        """Whether an rq-scheduler holds its lock on the source: it would enqueue jobs there that are being copied."""
        return bool(self._source.exists(f"{RQ_SCHEDULER_PREFIX}:{RQ_SCHEDULER_LOCK}"))

    def run(self) -> Account:
        """Copy everything and account for it."""
        found = self.inventory()
        account = Account(left=found.left)
        account.counts.append(self._jobs(found.job_ids))
        account.counts.append(self._others(found.others))
        account.counts += [self._index(index) for index in found.indexes]
        for mark in self._marks:
            self._target.expire(mark, REMEMBER_SECONDS)
        return account

    def preview(self) -> Account:
        """Count what a run would copy, without writing anything."""
        found = self.inventory()
        admitted, copied, moved = self._marks
        account = Account(left=found.left)
        jobs = Count("jobs", len(found.job_ids))
        for chunk in batched(found.job_ids, BATCH):
            known = self._are_members(copied, chunk)
            gone_on = self._are_members(moved, chunk)
            there = self._exist([self._keys.job(job_id) for job_id in chunk])
            jobs.before += sum(gone_on)
            own = [t and not k for t, k in zip(there, known, strict=True)]
            jobs.left_out += sum(o and not m for o, m in zip(own, gone_on, strict=True))
        jobs.carried = jobs.source - jobs.before - jobs.left_out
        others = Count("other keys", len(found.others))
        others.before = sum(
            sum(self._exist(list(map(self._keys.named, chunk)))) for chunk in batched(found.others, BATCH)
        )
        others.carried = others.source - others.before
        account.counts += [jobs, others]
        for index in found.indexes:
            count = Count(index.name)
            for rows in batched(self._members(index), BATCH):
                count.source += len(rows)
                count.before += sum(self._are_members(admitted, [f"{index.name}|{member}" for member, _, _ in rows]))
            count.carried = count.source - count.before
            account.counts.append(count)
        return account

    def same_database(self, token: str) -> bool:
        """Whether both ends are one database: whether what is written here can be read there."""
        key = self._keys.migration("probe")
        self._target.set(key, token, ex=60)
        return self._source.get(key) == token.encode()

    def _jobs(self, job_ids: Sequence[str]) -> Count:
        count = Count("jobs", len(job_ids))
        for chunk in batched(job_ids, BATCH):
            plans = read_jobs(self._source, self._keys, chunk)
            with self._target.pipeline(transaction=False) as pipeline:
                for job_id, commands in zip(chunk, plans, strict=True):
                    if commands:
                        self._place(
                            [self._keys.job(job_id), *self._marks[1:]],
                            [job_id, *_script(commands)],
                            client=pipeline,
                        )
                outcomes = pipeline.execute()
            count.carried += outcomes.count(1)
            count.before += outcomes.count(0)
            count.left_out += outcomes.count(-1)
            count.source -= plans.count([])  # expired since they were listed
            self._progress("jobs", count.source - count.missing, count.source)
        return count

    def _others(self, names: Sequence[str]) -> Count:
        count = Count("other keys", len(names))
        for name in names:
            if self._target.exists(self._keys.named(name)):
                count.before += 1
                continue
            commands = read_key(self._source, self._keys.named(name))
            if not commands:
                count.source -= 1
                continue
            with self._target.pipeline(transaction=True) as pipeline:
                for words in commands:
                    pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
                pipeline.execute()
            count.carried += 1
        return count

    def _index(self, index: Index) -> Count:
        count = Count(index.name)
        for rows in batched(self._members(index), BATCH):
            count.source += len(rows)
            arguments: Words = [index.kind, index.name, "1" if index.runs else "0"]
            for row in rows:
                arguments += row
            now, before, out = self._admit([self._key(index), *self._marks], arguments)
            count.carried += now
            count.before += before
            count.left_out += out
            self._progress(index.name, count.source, count.source)
        return count

    def _members(self, index: Index) -> Iterator[tuple[str, str, str]]:
        """Yield member, job id and score, in the order of the index."""
        key = self._key(index)
        if index.kind == "set":
            rows: Iterator[tuple[bytes, float]] = ((member, 0.0) for member in self._source.sscan_iter(key, count=1000))
        elif index.kind == "list":
            rows = ((member, 0.0) for member in self._pages(partial(self._source.lrange, key)))
        else:
            rows = self._pages(partial(self._source.zrange, key, withscores=True))
        for raw, value in rows:
            member = raw.decode()
            yield member, job_of(index, member), score(value)

    def _pages(self, read: Callable[..., Any]) -> Iterator[Any]:
        start = 0
        while page := read(start=start, end=start + BATCH - 1):
            yield from page
            start += BATCH

    def _are_members(self, key: str, members: Sequence[str]) -> list[bool]:
        return [bool(there) for there in self._target.smismember(key, list(members))] if members else []

    def _exist(self, keys: Sequence[str]) -> list[bool]:
        with self._target.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [bool(there) for there in pipeline.execute()]


def _script(commands: Sequence[Words]) -> Words:
    """Lay commands out for `migrate_place.lua`."""
    return [word for words in commands for word in (len(words), *words)]
