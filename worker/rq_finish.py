"""Finish jobs with RQ's own code where the scripts do not reach.

Dependents, callbacks, repeats, groups that lose a job, rate limits, webhooks and a returned `Retry` are RQ's: its
finishing code runs here, after a check that the claim is still ours. What cannot be settled because Redis is away stays
on the list; a callback may then run again, as with any at-least-once system.
"""

from __future__ import annotations

import math
import threading
import zlib
from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.callbacks import execute_stopped_callback
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.queue import Queue
from rq.rate_limit import release_slot
from rq.utils import now

from worker import dead_letters, logs, scripts
from worker.claims import TRACES, Claims
from worker.exchange import Buried, Claim, Exchange, Finished, Outcome, Retried
from worker.outcomes import attempt_of
from worker.script_calls import flat
from worker.serializers import Json

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()

#: After so many attempts an error of Redis in RQ's finishing code is taken for the job's own (a callback's).
MOST_TRIES: Final = 5
#: How long finishing a job may take before its process counts as stuck: more than two of RQ's default callbacks.
CALLBACKS_SECONDS: Final = 300.0


@dataclass(slots=True, eq=False)
class _Pending:
    job: Job | None  #: None: its hash cannot be read, so it was buried without having run
    claim: Claim
    started: float
    value: Any = None
    error: BaseException | None = None
    outcome: Retried | Buried | None = None
    stopped: bool = False
    tries: int = 0


class RqFinish:
    """The jobs of one consumer that wait for RQ's finishing code."""

    def __init__(self, worker: Consumer) -> None:
        self._worker = worker
        self._pending: list[_Pending] = []
        self._lock = threading.Lock()

    def wants_success(self, job: Job, value: Any) -> bool:
        """Whether a job that returned `value` must be finished by RQ."""
        return bool(
            job._success_callback_name
            or job.webhooks
            or job.repeats_left
            or job.has_rate_limit
            or isinstance(value, Retry)
        )

    def wants_failure(self, job: Job) -> bool:
        """Whether a job that raised must be finished by RQ."""
        handled = self._worker._exc_handlers or self._worker.disable_default_exception_handler
        return bool(job._failure_callback_name or job.webhooks or job.has_rate_limit or handled)

    @property
    def pending(self) -> bool:
        """Whether any job waits."""
        return bool(self._pending)

    @property
    def pending_beside_job(self) -> list[_Pending]:
        """Those that run no code of jobs, so that they may be finished while a job runs."""
        return [pending for pending in self._pending if not self._runs_code(pending)]

    def executions(self) -> set[str]:
        """Return the executions that are still in our hands."""
        return {pending.claim.execution_id for pending in self._pending}

    def add(
        self,
        job: Job | None,
        claim: Claim,
        started: float,
        *,
        value: Any = None,
        error: BaseException | None = None,
        outcome: Retried | Buried | None = None,
        stopped: bool = False,
    ) -> None:
        """Put a job on the list."""
        self._pending.append(_Pending(job, claim, started, value, error, outcome, stopped))

    def take_over(self, sent: list[Outcome], exchange: Exchange) -> None:
        """Put on the list what the scripts have left to RQ, and say what was dropped."""
        by_execution = {outcome.claim.execution_id: outcome for outcome in sent}
        for execution_id in exchange.fenced:
            outcome = by_execution[execution_id]
            kind = type(outcome).__name__.lower()
            log.warning("job.outcome_dropped", job_id=outcome.claim.job_id, outcome=kind)
        for execution_id in exchange.unsettled:
            outcome = by_execution[execution_id]
            job, result = outcome.notes
            if isinstance(outcome, Finished):
                self.add(job, outcome.claim, outcome.started, value=result)
            else:
                self.add(job, outcome.claim, outcome.started, error=result, outcome=outcome)

    def settle(self) -> None:
        """Finish everything on the list; raises redis-py's errors and keeps what is not finished."""
        slot = self._worker.slot
        with self._lock:
            while self._pending:
                pending = self._pending[0]
                # Callbacks are job code: they have the job's name, and a deadline, on the scoreboard.
                slot.begin_job(pending.claim.job_id, pending.claim.execution_id, CALLBACKS_SECONDS)
                try:
                    self._settle(pending)
                finally:
                    slot.end_job()

    def settle_beside_job(self) -> None:
        """Finish what may be finished while a job runs (minder thread): dependents need not wait for it."""
        if not self._lock.acquire(blocking=False):
            return  # the main thread is at it
        try:
            for pending in self.pending_beside_job:
                self._settle(pending)
        finally:
            self._lock.release()

    def _settle(self, pending: _Pending) -> None:
        pending.tries += 1
        if self._worker.claims.hold(pending.claim):
            try:
                self._finish(pending)
            except RedisError as error:
                if pending.tries < MOST_TRIES:
                    raise
                self._give_up(pending, error)
            except Exception as error:  # noqa: BLE001 — RQ's code chokes on this job: it must not on the next ones
                self._give_up(pending, error)
        else:
            log.warning("job.outcome_dropped", job_id=pending.claim.job_id, outcome="rq")
        self._pending.remove(pending)

    def _runs_code(self, pending: _Pending) -> bool:
        job = pending.job
        callbacks = job and (job._success_callback_name or job._failure_callback_name or job._stopped_callback_name)
        return bool(callbacks or self._worker._exc_handlers)

    def _finish(self, pending: _Pending) -> None:
        worker, job, outcome = self._worker, pending.job, pending.outcome
        if job is None or (pending.error is None and isinstance(outcome, Buried)):
            bury(worker.claims, cast(Buried, outcome), job)
            return
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
            self._fail(pending, outcome, pending.error, job, queue, execution)
        elif outcome is not None:  # its process was killed: there is no exception and, as in RQ, no callback
            self._apply_policy(job, outcome)
            job.ended_at = now()
            worker.handle_job_failure(job, queue=queue, execution=execution)
        else:
            self._succeed(pending, job, queue, execution)
        if job.get_status(refresh=False) == JobStatus.SCHEDULED:
            worker.seat.put_off(0.0)  # when it is due only RQ's code knows: the dispatcher looks

    def _succeed(self, pending: _Pending, job: Job, queue: Queue, execution: Execution) -> None:
        if not TRACES.isdisjoint(pending.claim.fields) and not isinstance(pending.value, Retry):
            job.connection.hset(job.key, "past", 1)  # before the end: a job that repeats may be claimed at once
        try:
            self._worker._finalize_success(job, queue, execution, pending.value)
        except RedisError:
            raise
        except Exception as error:  # noqa: BLE001 — a callback that raises fails the job, as in RQ
            job.connection.hdel(job.key, "past")
            deciding = self._worker.deciding
            pending.outcome = deciding.failure(job, pending.claim, error, None, pending.started, monotonic())
            self._worker.runner.report(pending.outcome, job, error)
            self._fail(pending, pending.outcome, error, job, queue, execution)
        else:
            if isinstance(pending.value, Retry):
                self._dead_letter(pending, job, None)

    def _fail(
        self,
        pending: _Pending,
        outcome: Retried | Buried,
        error: BaseException,
        job: Job,
        queue: Queue,
        execution: Execution,
    ) -> None:
        self._apply_policy(job, outcome)
        trace = error.__traceback__
        try:
            raise error  # noqa: TRY301 — if the failure callback raises, its traceback tells what it followed
        except BaseException:  # noqa: BLE001
            error.__traceback__ = trace
            self._worker._finalize_failure(job, queue, execution, (type(error), error, trace))
        self._dead_letter(pending, job, error)

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

    def _dead_letter(self, pending: _Pending, job: Job, error: BaseException | None) -> None:
        """Dead-letter the job if RQ has failed it; its meta may have changed since the outcome was decided."""
        if self._worker.disable_default_exception_handler:
            return
        outcome = pending.outcome
        if not isinstance(outcome, Buried):
            reason = "failed" if error is not None else "attempts_exhausted"
            outcome = self._worker.deciding.bury(
                reason,
                pending.claim,
                pending.started,
                pending.started,
                attempts=attempt_of(pending.claim),
                job=job,
                error=error,
            )
        letter = dead_letters.read(outcome.fields["dead_letter"])
        fields = {**outcome.fields, **dead_letters.fields(job, letter)}
        if self._worker.claims.call(scripts.COLLECT, job.id, outcome.letters_queue, *flat(fields)) and error is None:
            self._worker.runner.report(outcome, job, error)

    def _give_up(self, pending: _Pending, error: Exception) -> None:
        """Bury a job that RQ's code cannot finish; its own error, if it had one, is the one that is told."""
        claim, started = pending.claim, pending.started
        log.error("job.finish_failed", job_id=claim.job_id, error=dead_letters.words(error))
        told = pending.error or error
        outcome = self._worker.deciding.bury(
            "failed", claim, started, started, attempts=attempt_of(claim), job=pending.job, error=told
        )
        outcome.forced = True
        self._worker.runner.note(outcome, pending.job, told)


def bury(claims: Claims, outcome: Buried, job: Job | None) -> None:
    """Bury a job of which others must hear, and do for them what RQ does once a failure is written.

    `job` is None when its hash cannot be read; what waits for it must not suffer from that.
    """
    claim = outcome.claim
    if claims.exchange([replace(outcome, forced=True)], 0).fenced:
        log.warning("job.outcome_dropped", job_id=claim.job_id, outcome="buried")
        return
    if job is None:
        job = Job(connection=claims.redis, serializer=Json())
        job._id, job.origin = claim.job_id, claim.origin  # not checked: odd ids are one reason to be here
        job.rate_limit_key = claim.fields.get(b"rate_limit_key", b"").decode() or None
        job.rate_limit_concurrency = 1 if job.rate_limit_key else None  # any: the registry knows the number
    job._status, job.ended_at = JobStatus.FAILED, now()
    text = zlib.decompress(b64decode(outcome.exc_string)).decode()
    job.send_webhooks(JobStatus.FAILED, exc_string=text)
    Queue(claim.origin, connection=claims.redis, serializer=job.serializer).enqueue_dependents(job)
    release_slot(job)


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
