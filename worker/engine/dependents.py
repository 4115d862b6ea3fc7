"""Jobs that wait for others go on their queue once, and at once, whoever ends the last of those.

RQ looks at what a parent has ended as, not at whether another parent, or the dispatcher's maintenance, has put the job
on its queue already: two parents that fail together enqueue it twice. And of two parents that enqueue different jobs at
the same moment one gives way, and leaves its job to maintenance. RQ's code that ends a parent gets these classes.

A job with many of them would keep server and worker for seconds, with RQ's code even minutes: some commands for each,
then one transaction for all. Its end is written first, then they are enqueued beside whoever ended it, some a script.
Should that process die, or stop, its successor's maintenance goes on.

A job is moved only while it is deferred. It is watched, so that of two transactions that move it the second fails,
looks again and finds it moved. When it is moved it leaves the sets of all its parents, so that a plain RQ worker which
ends another one does not find it. From the registry of those that are ready a script puts it on its queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import sleep
from typing import Any, Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job, JobStatus
from rq.queue import Queue

from worker import backoff, logs
from worker.engine.errands import Errands
from worker.engine.meta import MetaKeepingJob
from worker.redis import scripts
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()


#: The fields by which a job is moved.
_NEEDED: Final = (
    "status",
    "origin",
    "dependency_ids",
    "dependency_id",
    "allow_dependency_failures",
    "enqueue_at_front",
)


#: More dependents than that are many.
FEW: Final = 20
#: How many of them one script looks at: some milliseconds of the server's time.
STEP: Final = 20
#: How long a job that has many of them is kept at least, should nobody enqueue the rest: maintenance looks every hour.
KEPT_SECONDS: Final = 86_400
#: The longest wait between two tries while Redis is away.
MOST_WAIT_SECONDS: Final = 2.0


class Dependent(MetaKeepingJob):
    """A job that waits for others, as RQ's code that ends one of them sees it.

    Nothing of its payload and its meta is read: reading a stranger's could end the process, and its parent be blamed.
    """

    @classmethod
    def fetch_many(cls, job_ids: Iterable[str], connection: Redis, serializer: Any = None) -> list[Job | None]:
        """Return jobs; None for each that is gone or says nothing sensible, which stays where it is."""
        ids = list(job_ids)
        with connection.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hmget(cls.key_for(job_id), _NEEDED)
            replies = pipeline.execute(raise_on_error=False)
        return [cls._of(job_id, reply, connection, serializer) for job_id, reply in zip(ids, replies, strict=True)]

    @classmethod
    def _of(cls, job_id: str, reply: Any, connection: Redis, serializer: Any) -> Job | None:
        try:
            _raise_if_refused(reply)
            fields = {name.encode(): value for name, value in zip(_NEEDED, reply, strict=True) if value is not None}
            if not fields:
                return None
            job = cls(job_id, connection=connection, serializer=serializer)
            job.restore({**fields, b"data": b""})
        except Exception as error:  # noqa: BLE001 — any producer may have written it: the others must be enqueued
            log.warning("dependents.unreadable", job_id=job_id, error=f"{type(error).__name__}: {error}"[:500])
            return None
        return job

    def dependencies_are_met(
        self,
        parent_job: Job | None = None,
        pipeline: Pipeline | None = None,
        exclude_job_id: str | None = None,
        refresh_job_status: bool = True,
    ) -> bool:
        """Whether it still waits, and for nothing any more; `pipeline` watches it from here on."""
        if pipeline is not None:
            pipeline.watch(self.key)  # type: ignore[no-untyped-call]
            if pipeline.hget(self.key, "status") != JobStatus.DEFERRED.value.encode():
                return False
        met: bool = super().dependencies_are_met(parent_job, pipeline, exclude_job_id, refresh_job_status)
        return met

    def set_status(self, status: JobStatus, pipeline: Pipeline | None = None) -> None:
        """Set the status, as RQ does; with the move out of the deferred ones the job leaves its parents' sets."""
        super().set_status(status, pipeline=pipeline)
        if pipeline is not None and status == JobStatus.READY_TO_ENQUEUE:
            for parent_id in self._dependency_ids:
                pipeline.srem(self.dependents_key_for(parent_id), self.id)


@dataclass(slots=True)
class ManyDependents:
    """The errand that enqueues what waits for a job that has `ended`. Then its time to live is what it should be."""

    redis: Redis
    job_id: str
    ended: str
    ttl: int | None = None  #: seconds; None: that it is already
    own_ttl: int | None = None  #: the job's own `result_ttl`

    def run(self, errands: Errands | None) -> None:
        """Enqueue them, some a script."""
        script = self.redis.register_script(scripts.DEPENDENTS.text)
        ttls = ("" if ttl is None else ttl for ttl in (self.ttl, self.own_ttl))
        rest = (STEP, *ttls)
        cursor, enqueued, tries = b"0", 0, 0
        while not (errands is not None and errands.is_over):
            try:
                cursor, count = script(args=(RQ_KEY_PREFIX, "", self.job_id, self.ended, cursor, *rest))
            except (RedisError, RedisTrouble, OSError) as error:
                refused = isinstance(error, ResponseError) or (isinstance(error, RedisTrouble) and error.refuses_this)
                if refused or errands is None or errands.ends:
                    log.warning("dependents.delayed", job_id=self.job_id, error=str(error)[:500])
                    return
                tries += 1
                sleep(backoff.full_jitter(tries, base=0.1, cap=MOST_WAIT_SECONDS))
                continue
            enqueued, tries = enqueued + count, 0
            if cursor == b"0":
                log.info("dependents.enqueued", job_id=self.job_id, jobs=enqueued)
                return
        self.forgo()

    def forgo(self) -> None:
        """Say that they, or the rest of them, wait for maintenance."""
        log.warning("dependents.delayed", job_id=self.job_id, error="the process ends")


def _raise_if_refused(reply: Any) -> None:
    """Raise what a pipeline got for one of its commands instead of an answer."""
    if isinstance(reply, Exception):
        raise reply


class ParentQueue(Queue):  # type: ignore[misc]  # rq has no types
    """The queue of a job that others wait for. What cannot be enqueued now is enqueued by maintenance.

    Many are left to `errands`, once the job's end is written. `default_ttl` is the worker's default for results.
    """

    job_class = Dependent
    errands: Errands | None = None
    default_ttl: int | None = None
    _later: ManyDependents | None = None

    def move_dependents_to_ready(
        self,
        job: Job,
        pipeline: Pipeline | None = None,
        exclude_job_id: str | None = None,
        refresh_job_status: bool = True,
    ) -> dict[str, list[str]]:
        """Move those that wait for nothing any more, as RQ does, unless they are many."""
        redis: Any = self.connection if pipeline is None else pipeline  # a transaction that only watches so far
        count = redis.scard(job.dependents_key)
        if count > FEW and exclude_job_id is None:
            self._leave_for_later(job, redis.hget(job.key, "status"), succeeds=pipeline is not None)
        if not count or self._later is not None:
            return {}
        moved: dict[str, list[str]] = super().move_dependents_to_ready(
            job, pipeline, exclude_job_id, refresh_job_status
        )
        return moved

    def _leave_for_later(self, job: Job, status: bytes | None, *, succeeds: bool) -> None:
        """Note what must be done once the job's end is written; it may come here again before that.

        A job that is deleted at its end, or soon after, is kept until then: maintenance asks how it has ended.
        """
        if status in (b"canceled", b"stopped") or self._later is not None:
            return
        later = ManyDependents(self.connection, job.id, "finished" if succeeds else "failed")
        ttl = job.get_result_ttl(self.default_ttl)
        if succeeds and not job.repeats_left and ttl is not None and 0 <= ttl < KEPT_SECONDS:
            later.ttl, later.own_ttl, job.result_ttl = ttl, job.result_ttl, KEPT_SECONDS
        self._later = later

    def enqueue_ready_jobs_by_queue(self, job_ids_by_queue_name: dict[str, list[str]]) -> None:
        """Enqueue the jobs that a parent's end has made ready."""
        later, self._later = self._later, None
        if later is not None and self.errands is not None:
            self.errands.submit(later)
        elif later is not None:
            later.run(None)
        script = self.connection.register_script(scripts.READY.text)
        for queue, job_ids in job_ids_by_queue_name.items():
            try:
                script(args=(RQ_KEY_PREFIX, "", queue, *job_ids))
            except (RedisError, RedisTrouble, OSError) as error:
                log.warning("dependents.delayed", queue=queue, jobs=len(job_ids), error=str(error)[:500])
