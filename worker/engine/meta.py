"""A job's meta: one field of its hash, which its producer, its own code, other processes and we write.

RQ writes the whole field over what is stored, and what others have saved since it was read is gone. Here a change is
made to what is stored: a script writes the field only while it holds what was seen, and else answers with what it holds
now, to which the change is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from redis import Redis
from redis.client import Pipeline
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job

from worker import logs
from worker.engine import rq_private
from worker.redis import scripts

log = logs.get_logger()

#: How often a change is made again because others have written meanwhile; each time takes a round trip.
MOST_TRIES: Final = 20

Meta = dict[str, Any]

#: Stands for a change's `args` in a script's call that leaves the meta alone.
NO_CHANGE: Final = ("", "")


class MetaLeftAlone(Exception):
    """What is stored, or what it would become, is nothing that the job's serializer reads or writes."""


class MetaTooLarge(ValueError):
    """A job saves more than WORKER_MAX_RESULT_BYTES allows; raised where it does."""


class MetaChange:
    """A change of a job's meta: `written` is what becomes of `seen`, the field as it was read (b"" = none).

    Raises `MetaLeftAlone`.
    """

    __slots__ = ("_change", "_serializer", "meta", "seen", "written")

    def __init__(self, serializer: Any, change: Callable[[Meta], Meta], seen: bytes) -> None:
        self._serializer = serializer
        self._change = change
        self.seen = seen
        self.meta = change(_read(serializer, seen))
        try:
            self.written: bytes = serializer.dumps(self.meta)
        except Exception as error:
            raise MetaLeftAlone(f"it cannot be written ({type(error).__name__}: {error})"[:500]) from error

    @classmethod
    def entry(cls, job: Job, name: str, value: Any) -> Self | None:
        """Return the change that puts in one entry; None, and a line in the log, where it cannot be made."""
        try:
            return cls(job.serializer, lambda stored: {**stored, name: value}, rq_private.stored_meta(job))
        except MetaLeftAlone as error:
            log.warning("job.meta_not_written", job_id=job.id, error=str(error))
            return None

    def over(self, job_id: str, stored: bytes) -> Self | None:
        """Return the same change of what is stored now; None, and a line in the log, where it cannot be made."""
        try:
            return type(self)(self._serializer, self._change, stored)
        except MetaLeftAlone as error:
            log.warning("job.meta_not_written", job_id=job_id, error=str(error))
            return None

    @property
    def args(self) -> tuple[str, bytes]:
        """What scripts take: the digest of what was seen, and the new meta."""
        return hashlib.sha1(self.seen, usedforsecurity=False).hexdigest(), self.written

    def write(self, redis: Redis, job_id: str) -> Self | None:
        """Write it, again while others write meanwhile. Returns what was written, or None and a line in the log.

        A job that is gone stays gone.
        """
        change: Self | None = self
        script = redis.register_script(scripts.META.text)
        for _ in range(MOST_TRIES):
            if change is None:
                return None
            stored: Any = script(args=(RQ_KEY_PREFIX, "", job_id, *change.args))
            if not isinstance(stored, bytes):
                return change
            change = change.over(job_id, stored)
        log.warning("job.meta_not_written", job_id=job_id, error=f"others wrote it {MOST_TRIES} times meanwhile")
        return None


class MetaKeepingJob(Job):  # type: ignore[misc]  # rq has no types
    """RQ's job, but what it saves of its meta is what has changed since it was read: the entries of others stay.

    Of an entry that both have changed, ours stays.
    """

    #: How much of it the job may save, in bytes as Redis holds it; 0 = any.
    max_meta_bytes: int = 0
    #: The field as it was read or written last.
    _stored_meta: bytes = b""

    def restore(self, raw_data: Mapping[Any, Any]) -> Any:
        """Take the values of a job's hash, as RQ does."""
        super().restore(dict(raw_data))
        self._stored_meta = raw_data.get(b"meta") or b""

    def get_meta(self, refresh: bool = True) -> Meta:
        """Return the meta; `refresh` reads it anew."""
        if refresh:
            stored: Any = self.connection.hget(self.key, "meta")
            self._stored_meta = stored or b""
            self.meta = self.serializer.loads(stored) if stored else {}
        return self.meta

    def save_meta(self) -> None:
        """Save what has changed in the meta; raises what the serializer raises about it, and `MetaTooLarge`."""
        ours = dict(self.meta)
        size = len(self.serializer.dumps(ours))
        if 0 < self.max_meta_bytes < size:
            raise MetaTooLarge(
                f"The job's meta would have {size:,} bytes, as Redis holds it, and WORKER_MAX_RESULT_BYTES allows "
                f"{self.max_meta_bytes:,}. Keep large data elsewhere and save where it is, or raise the limit."
            )
        try:
            base = _read(self.serializer, self._stored_meta)
            change = MetaChange(self.serializer, lambda stored: merged(base, ours, stored), self._stored_meta)
        except MetaLeftAlone as error:
            log.warning("job.meta_not_written", job_id=self.id, error=str(error))
            return
        done = change.write(self.connection, self.id)
        if done is None:
            return
        self._stored_meta = done.written
        for name in [name for name in self.meta if name not in done.meta]:
            del self.meta[name]
        self.meta.update(done.meta)

    def save(self, pipeline: Pipeline | None = None, include_meta: bool = True, include_result: bool = True) -> None:
        """Save the job, as RQ does, and what has changed in the meta at once: a transaction could not repeat it."""
        if include_meta and self.meta and self._meta_differs():
            self.save_meta()
        super().save(pipeline=pipeline, include_meta=False, include_result=include_result)

    def _meta_differs(self) -> bool:
        try:
            return _differ(_read(self.serializer, self._stored_meta), self.meta)
        except MetaLeftAlone:
            return False


def merged(base: Meta, ours: Meta, theirs: Meta) -> Meta:
    """Return `ours` with the changes from `base` to `theirs` in all entries that ours has not changed itself."""
    result = dict(ours)
    for name in base.keys() | theirs.keys():
        unchanged = name in base and name in ours and not _differ(base[name], ours[name])
        if not unchanged and (name in base or name in ours):
            continue
        if name not in theirs:
            del result[name]
        elif name not in base or _differ(base[name], theirs[name]):
            result[name] = theirs[name]
    return result


def _read(serializer: Any, stored: bytes) -> Meta:
    try:
        meta = serializer.loads(stored) if stored else {}
    except Exception as error:
        raise MetaLeftAlone(f"it cannot be read ({type(error).__name__})") from error
    if not isinstance(meta, dict):
        raise MetaLeftAlone(f"it is a {type(meta).__name__}, no dict")
    return meta


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 — jobs keep anything there, and some of it cannot be compared
        return True
