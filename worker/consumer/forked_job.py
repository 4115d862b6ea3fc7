"""Run jobs in forks of their consumer, one fork a job: what a job does to its process is gone with it, as in RQ.

The consumer claims, settles and counts. The fork has all that the consumer has loaded, runs the job's function and its
callbacks as the consumer itself would, and tells what came of it through a pipe (``outcome_wire.py``). It shares no
connection with the consumer, leads a session of its own, and dies with the consumer. The service's secrets are taken
out of its environment: neither the job nor a program that it starts needs them.

A job is ended by an exception in its fork: its own alarm at the timeout, a signal for an order or a hard stop. If it
does not react it is killed. A fork that dies by itself is the job's crash; the consumer and its other claims are
unharmed. What a job has started goes on when the job returns or raises, as in RQ; it is killed when the job was
stopped, timed out, killed or crashed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NoReturn

from rq.callbacks import execute_stopped_callback
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import JobTimeoutException
from rq.utils import now

from worker import logs, sentry
from worker.consumer import outcome_wire
from worker.consumer.accounts import Accounts
from worker.consumer.aftermath import NoAftermath
from worker.consumer.in_flight import Ending, InFlight
from worker.consumer.job_process import KILL_SECONDS, LEAVE_SECONDS, JobProcess
from worker.consumer.journal_store import JournalStores
from worker.consumer.main_thread import JobThread, JobTimeout, KilledByOrder, MainThread, running, timed_out
from worker.consumer.outcome_wire import Message, Pipe
from worker.consumer.rq_finish import CALLBACKS_SECONDS, RqFinish
from worker.engine import dead_letter, rq_private
from worker.engine.outcomes import Decider
from worker.engine.records import Buried, Claim
from worker.exits import Exit, explain, explain_out_of_memory
from worker.process import forked, memory, signals
from worker.process.signals import Child
from worker.process.slot import Order, Slot
from worker.redis.outage import delay_after
from worker.redis.trouble import RedisTrouble
from worker.retry import RetryPolicy
from worker.settings import secrets

log = logs.get_logger()

#: From a hard stop to the kill: the consumer has to hand the job back before it is killed itself.
HARD_STOP_SECONDS: Final = 0.7
#: Between two tries to fork where the system refuses it.
REFUSED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class ForksParts:
    """What a fork works with. No thread of the consumer uses it, so a fork finds no lock of it taken.

    `run` runs a claimed job; what comes of it is in `in_flight`, or for `rq` to finish, and counted in `books`.
    `enter` puts the fork's own connections in the place of the consumer's.
    """

    run: Callable[[Claim, JobThread, Job], None]
    journals: JournalStores
    in_flight: InFlight
    rq: RqFinish
    books: Slot
    enter: Callable[[Job], None]


class ForkedJobs:
    """Runs jobs of one consumer in forks, from whichever thread calls."""

    def __init__(
        self,
        parts: ForksParts,
        *,
        in_flight: InFlight,
        decider: Decider,
        accounts: Accounts,
        slot: Slot,
        child: Child,
        secrets_kept: Sequence[str] = (),
    ) -> None:
        self._secrets = secrets.needless(os.environ, secrets_kept)
        self._parts = parts
        self._in_flight = in_flight
        self._decider = decider
        self._accounts = accounts
        self._slot = slot
        self._child = child
        self._oom_kills = memory.oom_kills()

    def run(self, claim: Claim, job: Job, policy: RetryPolicy | None, thread: JobThread, started: float) -> None:
        """Run a job in a fork of `thread`, which is the calling one, and note what came of it."""
        job.worker_name, job.started_at = self._decider.worker_name, now()  # for RQ's code, should it end the job here
        fork = JobProcess(claim, started, job.timeout or Queue.DEFAULT_TIMEOUT)
        if not self._begin(fork, thread, lambda pipe: self._run_here(claim, job, pipe, started)):
            self._in_flight.interrupt(claim)
            return
        self._accompany(fork, thread)
        message = fork.message
        if message is None:
            self._note_loss(fork, job, policy, thread)
            return
        outcome = message.outcome
        ran = (outcome.started, outcome.ended) if outcome is not None else (started, monotonic())
        self._accounts.add(message.counts, job, claim, *ran)
        if outcome is not None:
            outcome.notes = (job, None)
            if isinstance(outcome, Buried):
                outcome.meta = dead_letter.in_meta(job, outcome.letter)
            self._in_flight.finish(outcome)
        elif message.kind == outcome_wire.INTERRUPTED:
            self._in_flight.interrupt(claim)
        else:
            self._in_flight.finished_by_rq(Ending(job, claim, started))

    # -- in the consumer ---------------------------------------------------------------------------------------------

    def _begin(self, fork: JobProcess, thread: JobThread, work: Callable[[Pipe], None]) -> bool:
        """Fork; False when a hard stop came while the system refused it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()  # or the fork would write it, too
        parent = os.getpid()
        while True:
            try:
                reader, writer = os.pipe()
                try:
                    pid = forked.fork()
                except OSError:
                    os.close(reader)
                    os.close(writer)
                    raise
            except OSError as error:
                log.error("job.fork_refused", job_id=fork.claim.job_id, error=str(error))  # noqa: TRY400 — tried again
                thread.wait(REFUSED_SECONDS, ())
                if self._child.hard:
                    return False
                continue
            if pid == 0:
                os.close(reader)
                self._become_fork(parent, writer, work)
            os.close(writer)
            fork.begin(pid, reader)
            return True

    def _accompany(self, fork: JobProcess, thread: JobThread) -> None:
        """Wait for the fork's end, and see to it."""
        thread.show(fork.claim, fork.timeout, fork.pid)
        shown = True
        try:
            while not fork.ended:
                self._end_if_due(fork)
                fork.listen(thread)
                if fork.is_ending:
                    fork.is_ending = False
                    thread.end()
                    thread.show(fork.claim, CALLBACKS_SECONDS, fork.pid)
                elif shown and fork.message is not None:
                    shown = False
                    thread.end()
        finally:
            if shown:
                thread.end()
            fork.close()

    def _end_if_due(self, fork: JobProcess) -> None:
        """Let the job end where it must; kill it where it should have."""
        if fork.message is None:
            if self._slot.order_at and self._slot.order_for(fork.running):
                fork.must_end(signals.ORDER, HARD_STOP_SECONDS if self._child.hard else KILL_SECONDS)
            elif self._child.hard:
                fork.must_end(signal.SIGQUIT, HARD_STOP_SECONDS)
            elif self._child.soft:
                fork.tell_of_stop()
        if monotonic() >= fork.kill_at:
            fork.kill()

    def _note_loss(self, fork: JobProcess, job: Job, policy: RetryPolicy | None, thread: JobThread) -> None:
        """Decide about a job whose fork has died without a word."""
        claim, started, moment = fork.claim, fork.started, monotonic()
        given = self._slot.order_for(fork.running) if fork.told == signals.ORDER else None
        stopped = given is not None and given.order == Order.STOP
        self._slot.forget_orders(fork.running)
        if fork.told == signal.SIGQUIT:
            log.warning("job.interrupted", job_id=claim.job_id, how="killed")
            self._in_flight.interrupt(claim)
            return
        if stopped:
            log.warning("job.stopped", job_id=claim.job_id, queue=claim.origin, how="with its process")
            self._call_stopped_callback(claim, job, thread)
            self._in_flight.finish_with_rq(Ending(job, claim, started, stopped=True))
            return
        if given is not None or fork.killed:
            overdue = timed_out(job.timeout) if not fork.in_callbacks else callbacks_timed_out()
            error = overdue if given is None else KilledByOrder()
            outcome = self._decider.failure(job, claim, error, policy, started, moment)
        else:
            how = self._how(fork)
            log.error("job.crashed", job_id=claim.job_id, queue=claim.origin, how=how)
            outcome = self._decider.crash(claim, how, moment, job)
        self._accounts.note(outcome, job, None)

    def _how(self, fork: JobProcess) -> str:
        """Return in words how a fork ended."""
        if fork.status == -signal.SIGKILL and self._out_of_memory():
            return explain_out_of_memory(memory.limit_bytes())
        if fork.garbled:
            return f"heard saying something odd ({fork.garbled}) and ended"
        if fork.status is None:
            return "waited for by somebody else, so that nobody knows how it ended"
        return explain(fork.status) if fork.status < 0 else f"ended with code {fork.status} before the job had returned"

    def _out_of_memory(self) -> bool:
        before, self._oom_kills = self._oom_kills, memory.oom_kills()
        return self._oom_kills is not None and before is not None and self._oom_kills > before

    def _call_stopped_callback(self, claim: Claim, job: Job, thread: JobThread) -> None:
        """Run the callback of a job that was killed in another fork: it is the job's code."""
        _, _, stopped = rq_private.callback_names(job)
        if stopped is None:
            return
        fork = JobProcess(claim, monotonic(), CALLBACKS_SECONDS)
        if self._begin(fork, thread, lambda _pipe: self._stopped_here(job)):
            self._accompany(fork, thread)
        rq_private.set_callbacks(job, job.success_callback, job.failure_callback, None)

    # -- in the fork -------------------------------------------------------------------------------------------------

    def _become_fork(self, parent: int, writer: int, work: Callable[[Pipe], None]) -> NoReturn:
        """Do the fork's work and end the process; never returns to the consumer's code."""
        code = int(Exit.CRASHED)
        try:
            os.setsid()
            gc.freeze()  # no collection writes to what is shared with the consumer, which would copy all of it
            signals.die_with_parent(parent)
            self._child.become_fork()
            sentry.become_fork()
            for name in self._secrets:
                os.environ.pop(name, None)
            work(Pipe(writer))
            code = int(Exit.OK)
        except BaseException:
            log.exception("job.fork_failed")
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _run_here(self, claim: Claim, job: Job, pipe: Pipe, started: float) -> None:
        parts = self._parts
        parts.enter(job)
        thread = MainThread(parts.books, self._child, NoAftermath())
        parts.journals.kept = lambda kept: pipe.send(Message(outcome_wire.KEPT, journal=kept.fields[b"journal"]))
        self._child.ordered = lambda: self._slot.order_for(running(claim, started)) is not None
        parts.run(claim, thread, job)
        self._finish_with_rq(pipe)
        counts = (parts.books.finished, parts.books.failed, parts.books.buried)
        if parts.in_flight.interrupted:
            pipe.send(Message(outcome_wire.INTERRUPTED, counts))
        elif done := parts.in_flight.done:
            pipe.send(Message(outcome_wire.OUTCOME, counts, done[0]))
        else:
            pipe.send(Message(outcome_wire.ENDED, counts))
        sentry.flush(LEAVE_SECONDS - 1.0)

    def _stopped_here(self, job: Job) -> None:
        self._parts.enter(job)
        try:
            execute_stopped_callback(job, JobTimeout)
        except Exception:
            log.exception("job.stopped_callback_failed", job_id=job.id)

    def _finish_with_rq(self, pipe: Pipe) -> None:
        """Let RQ's code finish the job, through outages; a hard stop's kill ends the waiting."""
        tries = 0
        while self._parts.in_flight.endings:
            pipe.send(Message(outcome_wire.ENDING))
            try:
                self._parts.rq.settle()
            except RedisTrouble as trouble:
                tries += 1
                time.sleep(delay_after(tries, trouble))


def callbacks_timed_out() -> JobTimeoutException:
    """Say what happened to a job whose callbacks hung."""
    return JobTimeoutException(
        f"The job's callbacks had not ended after {CALLBACKS_SECONDS:g} seconds, so their process was killed"
    )
