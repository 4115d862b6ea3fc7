"""The jobs that RQ's own code must finish, because the scripts do not reach so far.

Dependents, callbacks, repeats, groups that lose a job, rate limits, webhooks and a returned `Retry` are RQ's: its
finishing code runs (``rq_ending.py``) after a check that the claim is still ours. What cannot be settled because Redis
is away stays on the list; a callback may then run again, as with any at-least-once system.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.job import Job, Retry

from worker import logs
from worker.consumer.rq_ending import Pending, RqEnding
from worker.engine import dead_letter
from worker.engine.outcomes import attempt_of
from worker.engine.records import Buried, Claim, Exchange, Finished, Outcome, Retried

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()

#: After so many attempts an error of Redis in RQ's finishing code is taken for the job's own (a callback's).
MOST_TRIES: Final = 5
#: How long finishing a job may take before its process counts as stuck: more than two of RQ's default callbacks.
CALLBACKS_SECONDS: Final = 300.0


class RqFinish:
    """The jobs of one consumer that wait for RQ's finishing code."""

    def __init__(self, worker: Consumer) -> None:
        self._worker = worker
        self._ending = RqEnding(worker)
        self._pending: list[Pending] = []
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
    def pending_beside_job(self) -> list[Pending]:
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
        self._pending.append(Pending(job, claim, started, value, error, outcome, stopped))

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

    def fails(self, pipeline: Pipeline) -> None:
        """Add to the transaction in which RQ fails a job what makes it a dead letter."""
        self._ending.dead_letter(pipeline)

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

    def _settle(self, pending: Pending) -> None:
        pending.tries += 1
        if self._worker.claims.hold(pending.claim):
            try:
                self._ending.end(pending)
            except RedisError as error:
                if pending.tries < MOST_TRIES:
                    raise
                self._give_up(pending, error)
            except Exception as error:  # noqa: BLE001 — RQ's code chokes on this job: it must not on the next ones
                self._give_up(pending, error)
        else:
            log.warning("job.outcome_dropped", job_id=pending.claim.job_id, outcome="rq")
        self._pending.remove(pending)

    def _runs_code(self, pending: Pending) -> bool:
        job = pending.job
        callbacks = job and (job._success_callback_name or job._failure_callback_name or job._stopped_callback_name)
        return bool(callbacks or self._worker._exc_handlers)

    def _give_up(self, pending: Pending, error: Exception) -> None:
        """Bury a job that RQ's code cannot finish; its own error, if it had one, is the one that is told."""
        claim, started = pending.claim, pending.started
        log.error("job.finish_failed", job_id=claim.job_id, error=dead_letter.words(error))
        told = pending.error or error
        outcome = self._worker.deciding.bury(
            "failed", claim, started, started, attempts=attempt_of(claim), job=pending.job, error=told
        )
        outcome.forced = True
        self._worker.runner.note(outcome, pending.job, told)
