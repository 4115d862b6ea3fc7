"""Run one claimed job and keep what came of it until the server has taken it.

Nothing that a job does gets out of `Runner.run`: it returns, raises whatever it likes, overruns its timeout, or is
interrupted by a hard stop; each becomes an outcome in `done`, or a claim in `interrupted`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Final

from redis import Redis
from rq.job import Job, JobStatus, _current_job
from rq.queue import Queue
from rq.timeouts import JobTimeoutException
from rq.utils import now
from structlog.contextvars import bind_contextvars, unbind_contextvars

from worker import context, logs, sentry
from worker.consumer.main_thread import Station
from worker.consumer.rq_finish import RqFinish
from worker.engine import dead_letter
from worker.engine.outcomes import Deciding, attempt_of, function_name, number
from worker.engine.payload import Payloads
from worker.engine.records import Buried, Claim, Outcome, Retried
from worker.engine.serializers import Refused
from worker.process.signals import JobStopped, ShutdownRequested
from worker.process.slot import Order, Slot
from worker.retry import RetryPolicy, policy_of
from worker.settings import Settings

log = logs.get_logger()


class KilledByOrder(Exception):
    """RQ's command kill-horse ended the attempt."""


_BOUND: Final = ("job_id", "queue", "attempt", "function")


class Runner:
    """Runs the jobs of one consumer; `station` brackets their code."""

    def __init__(
        self,
        settings: Settings,
        connection: Redis,
        *,
        deciding: Deciding,
        by_rq: RqFinish,
        slot: Slot,
        station: Callable[[], Station],
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.payloads = Payloads(settings.worker_job_modules, settings.worker_serializers)
        self.deciding = deciding
        self.by_rq = by_rq
        self.slot = slot
        self._station = station
        self.done: list[Outcome] = []  #: what the server has not taken yet
        self.interrupted: list[Claim] = []  #: what a hard stop cut short
        self._counting = threading.Lock()

    def run(self, claim: Claim) -> None:
        """Run one job and note what came of it."""
        started = monotonic()
        job: Job | None = None
        policy: RetryPolicy | None = None
        try:
            job = self.payloads.restore(claim, self.connection)
            function = self.payloads.function(job)
            policy = policy_of(function)
            value = self.call(job, claim, function)
        except Refused as refused:
            self.refuse(claim, refused, started, job)
        except JobStopped:
            self.stop(job, claim, policy, started)
        except ShutdownRequested:
            log.warning("job.interrupted", handbacks=number(claim, b"handbacks") + 1)
            self.interrupted.append(claim)
        except BaseException as error:  # noqa: BLE001 — whatever job code raises (SystemExit too) is the job's failure
            self.fail(job, claim, error, policy, started)
        else:
            self.succeed(job, claim, value, started)
        finally:
            unbind_contextvars(*_BOUND)

    def call(self, job: Job, claim: Claim, function: Callable[..., Any]) -> Any:
        """Call the job's function with its context around it, within its timeout."""
        attempt = attempt_of(claim)
        job.worker_name = self.deciding.worker_name
        job.started_at = now()
        job._status = JobStatus.STARTED
        own = context.JobContext.for_job(
            job,
            self.connection,
            claim.origin,
            attempt,
            allow_private_addresses=self.settings.worker_allow_private_addresses,
            notify_secret=self.settings.notify_secret,
        )
        bind_contextvars(job_id=claim.job_id, queue=claim.origin, attempt=attempt, function=job._func_name)
        log.debug("job.started")
        token = _current_job.set(job)
        station = self._station()
        traced = sentry.trace(job_id=claim.job_id, queue=claim.origin, function=job._func_name, attempt=attempt)
        try:
            with context.use(own), traced:
                station.begin(claim, job.timeout or Queue.DEFAULT_TIMEOUT)
                value = function(*job._args, **job._kwargs)
                return asyncio.run(value) if inspect.iscoroutine(value) else value
        finally:
            station.end()
            _current_job.reset(token)

    def succeed(self, job: Job, claim: Claim, value: Any, started: float) -> None:
        """Note that the job returned `value`."""
        ended = monotonic()
        log.info("job.finished", seconds=round(ended - started, 4))
        with self._counting:
            self.slot.finished += 1
        if self.by_rq.wants_success(job, value):
            self.by_rq.add(job, claim, started, value=value)
            return
        outcome = self.deciding.success(job, claim, value, started, ended)
        outcome.notes = (job, value)
        self.done.append(outcome)

    def fail(
        self, job: Job | None, claim: Claim, error: BaseException, policy: RetryPolicy | None, started: float
    ) -> None:
        """Note that the job raised `error`."""
        with self._counting:
            self.slot.failed += 1
        error.__traceback__ = _of_the_job(error.__traceback__)
        if job is None:  # restoring it raised what no check of ours expects: kept as a dead letter, not lost
            refused = Refused("unreadable_hash", f"{type(error).__name__}: {dead_letter.words(error)}")
            self.refuse(claim, refused, started, None, error)
            return
        if isinstance(error, JobTimeoutException) and not error.args:  # raised in a crew thread, as a bare class
            error.args = (f"The job exceeded its timeout of {job.timeout} seconds",)
        outcome = self.deciding.failure(job, claim, error, policy, started, monotonic())
        if self.by_rq.wants_failure(job):
            self.report(outcome, job, error)
            self.by_rq.add(job, claim, started, error=error, outcome=outcome)
            return
        self.note(outcome, job, error)

    def refuse(
        self, claim: Claim, refused: Refused, started: float, job: Job | None, error: BaseException | None = None
    ) -> None:
        """Note that the job cannot run here: it is buried, or waits for a release that knows its function."""
        outcome = self.deciding.refusal(claim, refused, started, job)
        if isinstance(outcome, Buried):
            self.note(outcome, job, error)
            return
        outcome.notes = (job, error)
        self.done.append(outcome)
        log.warning(
            "job.waits_for_release",
            job_id=claim.job_id,
            queue=claim.origin,
            function=function_name(job),
            retry_in=outcome.delay,
            waits=outcome.fields["unknown"],
        )

    def stop(self, job: Job | None, claim: Claim, policy: RetryPolicy | None, started: float) -> None:
        """End a job by order: stopped for good, as RQ's `stop-job` does, or failed, as its `kill-horse` does."""
        order = self.slot.ordered(claim.job_id, claim.execution_id)
        self.slot.order = Order.NONE
        if order == Order.KILL or job is None:
            self.fail(job, claim, KilledByOrder("killed by the command kill-horse"), policy, started)
            return
        log.warning("job.stopped")
        self.by_rq.add(job, claim, started, stopped=True)

    def note(self, outcome: Outcome, job: Job | None, error: BaseException | None) -> None:
        """Keep an outcome for the next exchange, and tell people."""
        outcome.notes = (job, error)
        self.done.append(outcome)
        self.report(outcome, job, error)

    def report(self, outcome: Outcome, job: Job | None, error: BaseException | None) -> None:
        """Log a failed attempt or a burial, and tell Sentry."""
        claim = outcome.claim
        fields: dict[str, Any] = {
            "job_id": claim.job_id,
            "queue": claim.origin,
            "function": function_name(job),
            "attempt": attempt_of(claim),
        }
        if isinstance(outcome, Retried):
            log.warning("job.failed", **fields, retry_in=round(outcome.delay, 1), error=outcome.fields["last_error"])
            sentry.job_retried(error, **fields, delay=outcome.delay)
        elif isinstance(outcome, Buried):
            with self._counting:
                self.slot.buried += 1
            letter = dead_letter.read(outcome.fields["dead_letter"])
            told = {"reason": letter["reason"], "error": letter["message"], "fingerprint": letter["fingerprint"]}
            log.error("job.buried", **fields, **told, exc_info=error)
            sentry.job_failed(error, **fields, reason=letter["reason"], message=letter["message"])

    def restore_quietly(self, claim: Claim) -> tuple[Job | None, RetryPolicy | None]:
        """Return a job that is not to run now, and its policy, as far as they can be read."""
        try:
            job = self.payloads.restore(claim, self.connection)
        except Refused:
            return None, None
        try:
            return job, policy_of(self.payloads.function(job))
        except Refused:
            return job, None


def _of_the_job(trace: TracebackType | None) -> TracebackType | None:
    """Cut our own frames off the outer end of a traceback: people look for theirs."""
    step = trace
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    return step or trace
