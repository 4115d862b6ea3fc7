"""End one job with RQ's own code: it succeeds, fails or is stopped as in RQ, but what follows is what we decided.

RQ runs the callbacks, enqueues dependents and repeats, sends webhooks and frees the slot of a rate limit. Whether a
failed job gets another attempt, when, and what stands in its dead letter is ours (``outcomes.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from rq.callbacks import execute_stopped_callback
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.queue import Queue
from rq.utils import now

from worker import logs
from worker.engine import dead_letter
from worker.engine.claims import TRACES
from worker.engine.outcomes import attempt_of
from worker.engine.records import Buried, Claim, Retried
from worker.engine.rq_burial import bury
from worker.redis import scripts
from worker.redis.calls import flat

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()


@dataclass(slots=True, eq=False)
class Pending:
    """A job that waits for its ending: `value` if it returned, `error` if it raised, `outcome` if one was decided."""

    job: Job | None  #: None: its hash cannot be read, so it was buried without having run
    claim: Claim
    started: float
    value: Any = None
    error: BaseException | None = None
    outcome: Retried | Buried | None = None
    stopped: bool = False
    tries: int = 0


class RqEnding:
    """Ends the jobs of one consumer. Our claim on the job has been checked; redis-py's errors pass through."""

    def __init__(self, worker: Consumer) -> None:
        self._worker = worker
        self._ending: Pending | None = None  #: the one that RQ's code is ending now

    def end(self, pending: Pending) -> None:
        """Do what RQ does at the end of a job."""
        if pending.job is None or (pending.error is None and isinstance(pending.outcome, Buried)):
            bury(self._worker.claims, cast(Buried, pending.outcome), pending.job)
            return
        self._ending = pending
        try:
            self._by_rq(pending, pending.job)
        finally:
            self._ending = None
        failed = pending.outcome is not None or pending.stopped or isinstance(pending.value, Retry)
        if failed and self._worker.claims.hold(pending.claim):
            raise RedisConnectionError("RQ could not write how the job ended")  # it has logged why, and gone on

    def dead_letter(self, pipeline: Pipeline) -> None:
        """Dead-letter the job in the transaction in which RQ fails it; there is no moment between the two."""
        pending = self._ending
        if pending is None or pending.job is None or self._worker.disable_default_exception_handler:
            return
        job, claim, started = pending.job, pending.claim, pending.started
        if isinstance(pending.value, Retry) and job.get_status(refresh=False) == JobStatus.FAILED:
            deciding = self._worker.deciding
            attempts = attempt_of(claim)
            pending.outcome = deciding.bury("attempts_exhausted", claim, started, started, job=job, attempts=attempts)
        outcome = pending.outcome
        if isinstance(outcome, Buried):  # decided before the callback ran, which may have changed the job's meta
            fields = {**outcome.fields, **dead_letter.fields(job, dead_letter.read(outcome.fields["dead_letter"]))}
            written = (job.id, outcome.letters_queue, *flat(fields))
            self._worker.claims.queue(pipeline, scripts.COLLECT, *written)

    def _by_rq(self, pending: Pending, job: Job) -> None:
        worker, outcome = self._worker, pending.outcome
        queue = Queue(
            pending.claim.origin,
            connection=worker.connection,
            job_class=type(job),
            serializer=job.serializer,
            death_penalty_class=worker.death_penalty_class,
        )
        execution = Execution(pending.claim.execution_id, job.id, worker.connection, worker_name=worker.name)
        execution._job = job
        if job.started_at is not None:
            execution.created_at = job.started_at
        job._status = JobStatus.STARTED
        if pending.stopped:
            self._stop(job, queue, execution)
        elif pending.error is not None and outcome is not None:
            self._fail(outcome, pending.error, job, queue, execution)
        elif outcome is not None:  # its process was killed: there is no exception and, as in RQ, no callback
            self._apply_policy(job, outcome)
            job.ended_at = now()
            worker.handle_job_failure(job, queue=queue, execution=execution)
        else:
            self._succeed(pending, job, queue, execution)
        if job.get_status(refresh=False) == JobStatus.SCHEDULED:
            worker.seat.put_off(0.0)  # when it is due only RQ's code knows: the dispatcher looks

    def _succeed(self, pending: Pending, job: Job, queue: Queue, execution: Execution) -> None:
        if not TRACES.isdisjoint(pending.claim.fields) and not isinstance(pending.value, Retry):
            job.connection.hset(job.key, "past", 1)  # before the end: a job that repeats may be claimed at once
        try:
            self._worker._finalize_success(job, queue, execution, pending.value)
        except RedisError:
            raise
        except Exception as error:  # noqa: BLE001 — a callback that raises fails the job, as in RQ
            job.connection.hdel(job.key, "past")
            deciding = self._worker.deciding
            pending.error = error
            pending.outcome = deciding.failure(job, pending.claim, error, None, pending.started, monotonic())
            self._worker.runner.report(pending.outcome, job, error)
            self._fail(pending.outcome, error, job, queue, execution)
        else:
            if isinstance(pending.outcome, Buried):
                self._worker.runner.report(pending.outcome, job, None)

    def _fail(
        self, outcome: Retried | Buried, error: BaseException, job: Job, queue: Queue, execution: Execution
    ) -> None:
        self._apply_policy(job, outcome)
        trace = error.__traceback__
        try:
            raise error  # noqa: TRY301 — if the failure callback raises, its traceback tells what it followed
        except BaseException:  # noqa: BLE001
            error.__traceback__ = trace
            self._worker._finalize_failure(job, queue, execution, (type(error), error, trace))

    def _stop(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Record a job that was stopped by order as RQ does: "stopped", in the FailedJobRegistry, no dead letter."""
        worker = self._worker
        worker._stopped_job_id = job.id
        job.ended_at = now()
        try:
            execute_stopped_callback(job, worker.death_penalty_class)
        except RedisError:
            raise
        except Exception:
            log.exception("job.stopped_callback_failed", job_id=job.id)
        text = "Job stopped by user, work-horse terminated."
        worker.handle_job_failure(job, queue=queue, exc_string=text, execution=execution)

    def _apply_policy(self, job: Job, outcome: Retried | Buried) -> None:
        """Make RQ's failure code do what was decided: retry after our delay, or give up."""
        if isinstance(outcome, Retried):
            job.retries_left, job.retry = 1, partial(_retry, job, outcome)  # RQ looks at the one and calls the other
        else:
            job.retries_left = 0 if job.retries_left is not None else None


def _retry(job: Job, outcome: Retried, queue: Queue, pipeline: Pipeline) -> None:
    """Stand in for RQ's `Job.retry`: what was decided, and our counters, in the transaction that ends the attempt."""
    left = outcome.fields.get("retries_left")
    job.retries_left = None if left is None else int(left)
    written: dict[Any, Any] = dict(outcome.fields)  # redis-py's mapping is invariant in its keys
    pipeline.hset(job.key, mapping=written)
    if outcome.delay > 0:
        moment = datetime.fromtimestamp(math.ceil(now().timestamp() + outcome.delay), UTC)
        queue.schedule_job(job, moment, pipeline=pipeline)
    else:
        queue._enqueue_job(job, pipeline=pipeline, at_front=outcome.at_front)
