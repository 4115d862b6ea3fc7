"""The jobs that RQ's own code must finish, because the scripts do not reach so far.

Dependents, callbacks, repeats, groups that lose a job, rate limits, webhooks and a returned `Retry` are RQ's: its
finishing code runs (``rq_ending.py``) after a check that the claim is still ours. What cannot be settled because Redis
is away stays in flight; a callback may then run again, as with any at-least-once system.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final, Protocol

from rq.job import Job, Retry
from rq.worker import BaseWorker

from worker import logs, sentry
from worker.consumer.accounts import Accounts
from worker.consumer.aftermath import Aftermath
from worker.consumer.callback_threads import CallbackThreads
from worker.consumer.in_flight import Ending, InFlight
from worker.consumer.refusals import ABOUT_CONTENT
from worker.consumer.rq_ending import RqEnding
from worker.context import ClaimLost
from worker.engine import dead_letter, rq_private
from worker.engine.claims import Claims
from worker.engine.outcomes import Decider, attempt_of
from worker.engine.raised import presentable
from worker.engine.records import Claim, ClaimReply, Finished, Outcome
from worker.engine.serializers import Encoded
from worker.engine.unread import Unread
from worker.process import forked
from worker.redis.outage import delay_after
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: After so many attempts an error of Redis is taken for the job's own: of its callback, or about what it holds.
MOST_TRIES: Final = 5
#: How long finishing a job may take before its process counts as stuck: more than two of RQ's default callbacks.
CALLBACKS_SECONDS: Final = 300.0
#: The longest wait of a thread of the pool between two tries to finish its job while Redis is away.
MOST_WAIT_SECONDS: Final = 2.0


class Shown(Protocol):
    """Where the scoreboard shows the job whose callbacks run."""

    def begin_job(self, job_id: str, execution_id: str, timeout: float, *, reading: bool = False) -> None:
        """Name it; `timeout` in seconds. `reading`: nothing of its code runs yet."""
        ...

    def end_job(self) -> None:
        """Say that its callbacks have ended."""
        ...


class CallbackThread(Protocol):
    """A thread that is not the main one, in which callbacks run."""

    def begin_callbacks(self, claim: Claim, timeout: float) -> None:
        """Show the job; `timeout` in seconds, after which its process counts as stuck."""
        ...

    def end(self) -> None:
        """Say that its callbacks have ended."""
        ...

    def wait(self, seconds: float, fds: Sequence[int]) -> list[int]:
        """Sleep."""
        ...


class RqFinish:
    """Finishes jobs of one consumer with RQ's code. `worker` is the consumer as RQ knows it.

    Callbacks and handlers of exceptions are code of jobs. If jobs are `pooled` they run where their job has run, in its
    thread; else in one of the threads `beside` the main one or, where there are none, in the main thread, before the
    next job. Other ends are a matter of some commands.
    """

    def __init__(
        self,
        worker: BaseWorker,
        claims: Claims,
        decider: Decider,
        *,
        in_flight: InFlight,
        ending: RqEnding,
        shown: Shown,
        accounts: Accounts,
        aftermath: Aftermath,
        pooled: bool,
    ) -> None:
        self._worker = worker
        self._claims = claims
        self._decider = decider
        self._in_flight = in_flight
        self._ending = ending
        self._shown = shown
        self._accounts = accounts
        self._aftermath = aftermath
        self._pooled = pooled
        self.beside: CallbackThreads | None = None
        self._lock = threading.Lock()

    def wants_success(self, job: Job, value: Any) -> bool:
        """Whether a job that returned `value` must be finished by RQ."""
        succeeds, _, _ = rq_private.callback_names(job)
        return bool(succeeds or job.webhooks or job.repeats_left or job.has_rate_limit or isinstance(value, Retry))

    def reads_value(self, job: Job, value: Any) -> bool:
        """Whether RQ needs the value itself of a job that returned, not only what is stored of it."""
        succeeds, _, _ = rq_private.callback_names(job)
        return bool(succeeds or isinstance(value, Retry))

    def wants_failure(self, job: Job) -> bool:
        """Whether a job that raised must be finished by RQ."""
        _, fails, _ = rq_private.callback_names(job)
        handled = rq_private.exception_handlers(self._worker) or self._worker.disable_default_exception_handler
        return bool(fails or job.webhooks or job.has_rate_limit or handled)

    def accept(self, ending: Ending) -> None:
        """Take in a job that has just ended in the calling thread."""
        if self._pooled and threading.current_thread() is not threading.main_thread() and self._runs_code(ending):
            ending.thread = threading.get_ident()  # which calls `settle_own`
        self._in_flight.finish_with_rq(ending)

    @property
    def pending_beside_job(self) -> list[Ending]:
        """The jobs whose finishing runs no code of jobs, so that it may run beside a job."""
        return [ending for ending in self._in_flight.endings if not self._runs_code(ending)]

    def left_by_scripts(self, sent: list[Outcome], reply: ClaimReply) -> list[Ending]:
        """Return what the scripts have left to RQ, and log what was dropped."""
        by_execution = {outcome.claim.execution_id: outcome for outcome in sent}
        for execution_id in reply.fenced:
            outcome = by_execution[execution_id]
            kind = type(outcome).__name__.lower()
            log.warning("job.outcome_dropped", job_id=outcome.claim.job_id, outcome=kind)
        endings = []
        for execution_id in reply.unsettled:
            outcome = by_execution[execution_id]
            job, error = outcome.notes
            if isinstance(outcome, Finished):
                endings.append(Ending(job, outcome.claim, outcome.started, value=Encoded.of_result(outcome.value)))
            else:
                endings.append(Ending(job, outcome.claim, outcome.started, error=error, outcome=outcome))
        return endings

    def settle(self) -> None:
        """Finish every job that waits for RQ, or let a thread finish it that others need not wait for.

        Raises `RedisTrouble` and keeps what is not finished.
        """
        with self._lock:
            while endings := self._in_flight.endings:
                ending = endings[0]
                runs_code = self._runs_code(ending)
                if runs_code and self.beside is not None and self.beside.run(ending, self.settle_own):
                    continue
                # Callbacks are job code: they have the job's name, and a deadline, on the scoreboard.
                self._shown.begin_job(ending.claim.job_id, ending.claim.execution_id, CALLBACKS_SECONDS)
                try:
                    self._settle(ending)
                finally:
                    self._shown.end_job()
                    if runs_code:
                        self._aftermath.after_code()

    def settle_own(self, thread: CallbackThread) -> None:
        """Finish what the calling thread has to, again while Redis is away; the main thread names that."""
        ident = threading.get_ident()
        while ending := next((one for one in self._in_flight.in_callbacks if one.thread == ident), None):
            thread.begin_callbacks(ending.claim, CALLBACKS_SECONDS)
            try:
                self._settle(ending)
            except RedisTrouble as trouble:
                reason = trouble
            else:
                continue
            finally:
                thread.end()
            thread.wait(min(MOST_WAIT_SECONDS, delay_after(ending.tries + 1, reason)), ())

    def settle_beside_job(self) -> None:
        """Finish what may be finished while a job runs (housekeeper's thread): dependents need not wait for it."""
        if not self._lock.acquire(blocking=False):
            return  # the main thread is at it
        try:
            for ending in self.pending_beside_job:
                self._settle(ending)
        finally:
            self._lock.release()

    def _settle(self, ending: Ending) -> None:
        """Finish one job in its own context, in which its callbacks find what it has bound there."""
        ending.context.run(self._settle_inside, ending)

    def _settle_inside(self, ending: Ending) -> None:
        with sentry.isolated():
            try:
                if isinstance(ending.job, Unread):
                    ending.job = ending.job.whole()
                self._end(ending)
            finally:
                forked.end_if_strayed()  # a handler of exceptions may have forked

    def _end(self, ending: Ending) -> None:
        """Finish one job. It counts as held while RQ's code is at it, and leaves when that is over."""
        if self._claims.extend(ending.claim):
            try:
                self._ending.end(ending)
            except ClaimLost:  # it is somebody else's by now
                return
            except RedisTrouble as error:
                if not self._is_its_own(ending, error):
                    raise
                self._give_up(ending, error)
            except BaseException as error:  # noqa: BLE001 — RQ's code chokes on this job: it must not on the next ones
                self._give_up(ending, error)
        elif ending.letter:
            self._ending.complete_letter(ending)
        else:
            log.warning("job.outcome_dropped", job_id=ending.claim.job_id, outcome="rq")
        self._in_flight.finished_by_rq(ending)

    def _is_its_own(self, ending: Ending, error: RedisTrouble) -> bool:
        """Whether trouble is the job's own by now. What the server refuses to everybody is waited for."""
        if error.code in ("wrong_type", "too_large"):
            return True
        if error.code not in ABOUT_CONTENT and not rq_private.raised_by_callback(error.__cause__ or error):
            return False
        ending.tries += 1
        return ending.tries >= MOST_TRIES

    def _runs_code(self, ending: Ending) -> bool:
        """Whether code of jobs runs at this end: a callback, or a handler of exceptions."""
        if ending.job is None:
            return False
        succeeds, fails, stops = rq_private.callback_names(ending.job)
        if ending.stopped:
            return bool(stops)
        if ending.error is not None:
            return bool(fails or rq_private.exception_handlers(self._worker))
        return ending.outcome is None and bool(succeeds)

    def _give_up(self, ending: Ending, error: BaseException) -> None:
        """Bury a job that RQ's code cannot finish; its own error, if it had one, stands in the dead letter."""
        try:
            self._bury(ending, error)
        except Exception:  # the last net: its record, or its error, is nothing that anybody expects
            outcome = self._decider.mishandled(ending.claim, ending.started)
            log.exception("job.mishandled", job_id=ending.claim.job_id, queue=ending.claim.origin)
            outcome.forced = True
            self._accounts.note(outcome, None, None, counted=True)

    def _bury(self, ending: Ending, error: BaseException) -> None:
        claim, started = ending.claim, ending.started
        log.error("job.finish_failed", job_id=claim.job_id, error=dead_letter.words(presentable(error)))
        reason = ending.error or presentable(error)
        outcome = self._decider.bury(
            "failed", claim, started, started, attempts=attempt_of(claim), job=ending.job, error=reason
        )
        outcome.forced = True
        self._accounts.note(outcome, ending.job, reason, counted=True)
