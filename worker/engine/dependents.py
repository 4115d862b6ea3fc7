"""Jobs that wait for others go on their queue once, and at once, whoever ends the last of those.

RQ looks at what a parent has ended as, not at whether another parent, or the dispatcher's maintenance, has put the job
on its queue already: two parents that fail together enqueue it twice. And of two parents that enqueue different jobs at
the same moment one gives way, and leaves its job to maintenance. RQ's code that ends a parent gets these classes.

A job is moved only while it is deferred. It is watched, so that of two transactions that move it the second fails,
looks again and finds it moved. When it is moved it leaves the sets of all its parents, so that a plain RQ worker which
ends another one does not find it. From the registry of those that are ready a script puts it on its queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job, JobStatus
from rq.queue import Queue

from worker import logs
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


def _raise_if_refused(reply: Any) -> None:
    """Raise what a pipeline got for one of its commands instead of an answer."""
    if isinstance(reply, Exception):
        raise reply


class ParentQueue(Queue):  # type: ignore[misc]  # rq has no types
    """The queue of a job that others wait for. What cannot be enqueued now is ready, and enqueued by maintenance."""

    job_class = Dependent

    def enqueue_ready_jobs_by_queue(self, job_ids_by_queue_name: dict[str, list[str]]) -> None:
        """Enqueue the jobs that a parent's end has made ready."""
        script = self.connection.register_script(scripts.READY.text)
        for queue, job_ids in job_ids_by_queue_name.items():
            try:
                script(args=(RQ_KEY_PREFIX, "", queue, *job_ids))
            except (RedisError, RedisTrouble, OSError) as error:
                log.warning("dependents.delayed", queue=queue, jobs=len(job_ids), error=str(error)[:500])
