"""Finish jobs with RQ's own code where the scripts do not reach.

Dependents, callbacks, repeats, groups that lose a job, rate limits, webhooks and a returned `Retry` are RQ's: its
finishing code runs here, after a check that the claim is still ours. What cannot be settled because Redis is away stays
on the list; a callback may then run again, as with any at-least-once system.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError
from rq.callbacks import execute_stopped_callback
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.queue import Queue
from rq.utils import now

from worker import dead_letters, logs
from worker.claims import Buried, Claim, Retried

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()

#: After so many attempts an error of Redis in RQ's finishing code is taken for the job's own (a callback's).
MOST_TRIES: Final = 5
#: How long finishing a job may take before its process counts as stuck: more than two of RQ's default callbacks.
CALLBACKS_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Pending:
    job: Job
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

    def executions(self) -> set[str]:
        """Return the executions that are still in our hands."""
        return {pending.claim.execution_id for pending in self._pending}

    def add(
        self,
        job: Job,
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

    def settle(self) -> None:
        """Finish everything on the list; raises redis-py's errors and keeps what is not finished."""
        while self._pending:
            pending = self._pending[0]
            pending.tries += 1
            if self._worker.claims.hold(pending.claim):
                slot = self._worker.slot  # callbacks are job code: they have the job's name on the scoreboard
                slot.begin_job(pending.claim.job_id, pending.claim.execution_id, CALLBACKS_SECONDS)
                try:
                    self._finish(pending)
                except RedisError as error:
                    if pending.tries < MOST_TRIES:
                        raise
                    self._give_up(pending, error)
                except Exception as error:  # noqa: BLE001 — RQ's code chokes on this job: it must not on the next ones
                    self._give_up(pending, error)
                finally:
                    slot.end_job()
            else:
                log.warning("job.outcome_dropped", job_id=pending.claim.job_id, outcome="rq")
            self._pending.pop(0)

    def _finish(self, pending: _Pending) -> None:
        worker, job = self._worker, pending.job
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
            self._stop(pending, queue, execution)
            return
        if pending.error is None:
            try:
                worker._finalize_success(job, queue, execution, pending.value)
            except RedisError:
                raise
            except Exception:  # noqa: BLE001 — a callback that raises fails the job, as in RQ
                worker._finalize_failure(job, queue, execution, sys.exc_info())
                self._dead_letter(pending, sys.exc_info()[1])
            else:
                if isinstance(pending.value, Retry):
                    self._dead_letter(pending, None)
            return
        self._apply_policy(pending)
        error = pending.error
        worker._finalize_failure(job, queue, execution, (type(error), error, error.__traceback__))
        self._dead_letter(pending, error)

    def _stop(self, pending: _Pending, queue: Queue, execution: Execution) -> None:
        """Record a job that was stopped by order as RQ does: "stopped", in the FailedJobRegistry, no dead letter."""
        worker, job = self._worker, pending.job
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

    def _apply_policy(self, pending: _Pending) -> None:
        """Make RQ's failure code do what was decided: retry after our delay, or give up."""
        job, outcome = pending.job, pending.outcome
        if isinstance(outcome, Retried):
            left = int(outcome.fields.get("retries_left", 0))
            job.retries_left, job.retry_intervals = left + 1, [round(outcome.delay)] * (left + 1)
        else:
            job.retries_left = 0 if job.retries_left is not None else None

    def _dead_letter(self, pending: _Pending, error: BaseException | None) -> None:
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
                attempts=1,
                job=pending.job,
                error=error,
            )
        letter = dead_letters.read(outcome.fields["dead_letter"])
        fields = {**outcome.fields, **dead_letters.fields(pending.job, letter)}
        if self._worker.claims.collect(outcome.letters_queue, pending.job.id, fields) and error is None:
            self._worker.runner.report(outcome, pending.job, error)

    def _give_up(self, pending: _Pending, error: Exception) -> None:
        """Bury a job that RQ's code cannot finish; its own error, if it had one, is the one that is told."""
        log.error("job.finish_failed", job_id=pending.job.id, error=dead_letters.words(error))
        told = pending.error or error
        outcome = self._worker.deciding.bury(
            "failed", pending.claim, pending.started, pending.started, attempts=1, job=pending.job, error=told
        )
        outcome.forced = True
        self._worker.runner.note(outcome, pending.job, told)
