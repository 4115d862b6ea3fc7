"""Run one claimed job and note what came of it.

Nothing that a job does gets out of `Runner.run`: it returns, raises whatever it likes, overruns its timeout, or is
interrupted by a hard stop; each becomes an outcome in flight, or an interrupted claim (``in_flight.py``).
"""

from __future__ import annotations

import decimal
import inspect
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from time import monotonic
from types import TracebackType
from typing import Any, Final

from redis import Redis
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.timeouts import JobTimeoutException
from structlog.contextvars import bind_contextvars

from worker import context, logs, sentry
from worker.consumer import event_loop, lifecycle
from worker.consumer.accounts import Accounts
from worker.consumer.forked_job import ForkedJobs
from worker.consumer.in_flight import Ending, InFlight
from worker.consumer.journal_store import JournalStores
from worker.consumer.lifecycle import Lifecycle
from worker.consumer.log_writer import LogWriters
from worker.consumer.main_thread import JobThread, KilledByOrder, running
from worker.consumer.rq_finish import RqFinish
from worker.context import ClaimLost, JobStopped, ShutdownRequested
from worker.engine import dead_letter, rq_private
from worker.engine.outcomes import Decider, attempt_of, function_name, number
from worker.engine.payload import Payloads
from worker.engine.raised import original, presentable
from worker.engine.records import Buried, Claim
from worker.engine.serializers import Encoded, Refused, encode_result
from worker.process import forked
from worker.process.slot import Order, Slot
from worker.retry import RetryPolicy, isolation_of, policy_of
from worker.settings import Settings

log = logs.get_logger()


class Runner:
    """Runs the jobs of one consumer. Jobs get `connection`, a plain client of redis-py.

    Each job runs in a context of its own (`contextvars`), a copy of the one in which the runner was made, and in a
    Sentry scope of its own: whatever it binds there, log fields too, is gone with it. Its callbacks run in the same.
    `forked` runs those that want a process of their own; it is None in such a process.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Redis,
        *,
        payloads: Payloads,
        decider: Decider,
        in_flight: InFlight,
        rq: RqFinish,
        slot: Slot,
        accounts: Accounts,
        journals: JournalStores,
        hooks: Lifecycle,
        recycle: Callable[[str], None],
        forked: ForkedJobs | None,
    ) -> None:
        self._hooks = hooks if hooks.around_jobs else None
        self._recycle = recycle
        self.journals = journals
        self._logs = LogWriters(journals.calls, journals.worker_name)
        self._settings = settings
        self._connection = connection
        self._payloads = payloads
        self._decider = decider
        self._in_flight = in_flight
        self._rq = rq
        self._slot = slot
        self._accounts = accounts
        self._forked = forked
        self._base = copy_context()
        self._decimals = _decimals_in(self._base)
        self._loops = hooks.loops

    def run(self, claim: Claim, thread: JobThread, job: Job | None = None) -> None:
        """Run one job in `thread`, which is the calling one, and note what came of it; `job` if it is restored."""
        try:
            self._base.copy().run(self._run, claim, thread, job)
        except Exception as error:  # noqa: BLE001 — the last net: whatever it is, the next job must run
            thread.end()
            self._accounts.mishandled(claim, self._decider, error)

    def _run(self, claim: Claim, thread: JobThread, job: Job | None) -> None:
        if self._decimals is not None:
            decimal.setcontext(self._decimals.copy())
        with sentry.isolated(new_trace=True):
            self._attempt(claim, thread, job)

    def _attempt(self, claim: Claim, thread: JobThread, job: Job | None) -> None:
        started = monotonic()
        policy: RetryPolicy | None = None
        called = False
        try:
            try:  # on the scoreboard: reading a payload may end this process, or never end
                thread.read(claim)
                job = job or self._payloads.restore(claim, self._connection)
                function = self._payloads.known(job)
                if function is None:
                    if self._payloads.imports(job):
                        thread.look_up(job.timeout or Queue.DEFAULT_TIMEOUT)
                    function = self._payloads.function(job)
                policy = policy_of(function)
            except BaseException:
                thread.end()
                raise
            if self._forked is not None and self._isolation(function) == "job":
                thread.end()
                self._forked.run(claim, job, policy, thread, started)
                return
            called = True
            value, stored = self.call(job, claim, function, thread)
        except Refused as refused:
            if called:  # the job has read somebody else's pickle, its parent's result perhaps: a failure like any other
                self.fail(job, claim, refused, policy, started)
            else:
                self.refuse(claim, refused, started, job)
        except JobStopped:
            thread.end_processes(started)
            self.stop(job, claim, policy, started)
        except ShutdownRequested as stop:
            thread.end_processes(started)
            log.warning("job.interrupted", handbacks=number(claim, b"handbacks") + 1, where=str(stop) or None)
            self._in_flight.interrupt(claim)
        except ClaimLost as lost:  # whoever took the claim decides what becomes of the job
            thread.end_processes(started)
            log.warning("job.claim_lost", how=lost.how)
            self._in_flight.forget([claim])
        except BaseException as error:  # noqa: BLE001 — whatever job code raises (SystemExit too) is the job's failure
            if isinstance(error, JobTimeoutException):
                thread.end_processes(started)
            self.fail(job, claim, error, policy, started)
        else:
            self.succeed(job, claim, value, stored, started)
        finally:
            if self._slot.order_at > started:  # one that came too late must not stop the job's next run
                self._slot.forget_orders(running(claim, started))

    def close(self) -> None:
        """Give back what the calling thread's jobs have used."""
        self._loops.close()

    def _isolation(self, function: Callable[..., Any]) -> str:
        return isolation_of(function) or self._settings.worker_isolation

    def call(self, job: Job, claim: Claim, function: Callable[..., Any], thread: JobThread) -> tuple[Any, bytes]:
        """Call the job's function within its timeout, as the current job of this context.

        Returns its value, and that as Redis is to hold it: serializing it is code of the job, too.
        """
        attempt = attempt_of(claim)
        name = rq_private.function_name(job)
        args, kwargs = rq_private.arguments(job)
        job.worker_name = self._decider.worker_name
        job.started_at = self._decider.now()
        rq_private.set_status(job, JobStatus.STARTED)
        own = context.JobContext.for_job(
            job,
            self._connection,
            claim.origin,
            attempt,
            function=name,
            allow_private_addresses=self._settings.worker_allow_private_addresses,
            notify_secret=self._settings.notify_secret,
            journals=self.journals,
            logs=self._logs,
            claim=claim,
            callback_origins=self._settings.callback_origins,
        )
        bind_contextvars(job_id=claim.job_id, queue=claim.origin, attempt=attempt, function=name)
        log.debug("job.started")
        token = rq_private.enter_job(job)
        traced = sentry.trace(job_id=claim.job_id, queue=claim.origin, function=name, attempt=attempt, meta=job.meta)
        context.enter(own)
        try:
            with traced:
                try:
                    thread.begin(claim, job.timeout or Queue.DEFAULT_TIMEOUT)
                    if self._hooks is not None:
                        value = self._hooks.around(own, function, args, kwargs)
                    else:
                        value = function(*args, **kwargs)
                        value = self._loops.run(value) if inspect.iscoroutine(value) else value
                    result = value, encode_result(job.serializer, value)
                    own.lives = self._decider.lives(job)
                    return result  # noqa: TRY300 — only then
                except BaseException as error:  # the job's clock runs: making the text of its error is the job's work
                    forked.end_if_strayed(error)
                    shown = presentable(error)
                    if shown is error:
                        raise
                finally:
                    forked.end_if_strayed(sys.exc_info()[1])
                raise shown  # here, where it follows nothing
        finally:
            thread.end()
            rq_private.leave_job(token)
            own.close()
            if own.recycles and self._forked is not None:  # a process of the job's own ends anyway
                self._recycle(claim.job_id)

    def succeed(self, job: Job, claim: Claim, value: Any, stored: bytes, started: float) -> None:
        """Note that the job returned `value`, which is `stored` as Redis is to hold it."""
        ended = monotonic()
        outcome = self._decider.success(job, claim, stored, started, ended)
        if isinstance(outcome, Buried):
            self._accounts.failed()
            self._accounts.note(outcome, job, None)
            return
        log.info("job.finished", seconds=round(ended - started, 4))
        self._accounts.finished(job, claim, started, ended)
        if self._rq.wants_success(job, value):
            if not self._rq.reads_value(job, value):
                value = Encoded.of_result(stored)
            self._rq.accept(Ending(job, claim, started, value=value))
            return
        outcome.notes = (job, None)
        self._in_flight.finish(outcome)

    def fail(
        self, job: Job | None, claim: Claim, error: BaseException, policy: RetryPolicy | None, started: float
    ) -> None:
        """Note that the job raised `error`."""
        self._accounts.failed()
        error = presentable(error)  # importing the job's module may have raised it
        error.__traceback__ = _of_the_job(error.__traceback__)
        if job is None:  # restoring it raised what no check of ours expects: kept as a dead letter, not lost
            refused = Refused("unreadable_hash", f"{type(error).__name__}: {dead_letter.words(error)}")
            self.refuse(claim, refused, started, None, error)
            return
        timeout = original(error)
        if isinstance(timeout, JobTimeoutException) and not timeout.args:  # a bare class, in a thread of the pool
            error.args = (f"The job exceeded its timeout of {job.timeout} seconds",)
        outcome = self._decider.failure(job, claim, error, policy, started, monotonic())
        if self._rq.wants_failure(job):
            self._accounts.ended(outcome, job, error)
            self._rq.accept(Ending(job, claim, started, error=error, outcome=outcome))
            return
        self._accounts.note(outcome, job, error)

    def refuse(
        self, claim: Claim, refused: Refused, started: float, job: Job | None, error: BaseException | None = None
    ) -> None:
        """Note that the job cannot run here: it is buried, or waits for a release that knows its function."""
        job = job or self._payloads.unread(claim, self._connection)
        outcome = self._decider.refusal(claim, refused, started, job)
        if isinstance(outcome, Buried):
            self._accounts.note(outcome, job, error)
            return
        outcome.notes = (job, error)
        self._in_flight.finish(outcome)
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
        run = running(claim, started)
        given = self._slot.order_for(run)
        self._slot.forget_orders(run)
        if (given is not None and given.order == Order.KILL) or job is None:
            self.fail(job, claim, KilledByOrder(), policy, started)
            return
        log.warning("job.stopped")
        self._rq.accept(Ending(job, claim, started, stopped=True))


def _decimals_in(context: Context) -> decimal.Context | None:
    """Return a copy of the decimal context that every copy of `context` would share; None where each makes its own."""
    held = [value for variable, value in context.items() if variable.name == "decimal_context"]
    return held[0].copy() if held else None


#: Files whose frames stand around those of a job.
_OURS: Final = (__file__, event_loop.__file__, lifecycle.__file__)


def _of_the_job(trace: TracebackType | None) -> TracebackType | None:
    """Cut our own frames off the outer end of a traceback: people look for theirs."""
    step = trace
    while step is not None and step.tb_frame.f_code.co_filename in _OURS:
        step = step.tb_next
    return step or trace
