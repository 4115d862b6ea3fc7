"""Where job code runs in a consumer, and how it is ended there: timeout, hard stop, stop-job command.

In the main thread signals do it. In a thread of the pool (`WORKER_THREADS` > 1, see ``threads.py``) an asynchronous
exception does. Either way an exception that nobody in it raised may interrupt the code between `begin` and `end`. A job
that swallows it, or sits in native code, is ended with its process by the supervisor.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see below
import signal
from collections.abc import Sequence
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, Final, Protocol

from rq.timeouts import BaseDeathPenalty, JobTimeoutException

from worker.consumer.aftermath import Aftermath
from worker.context import JobStopped, ShutdownRequested
from worker.engine.records import Claim
from worker.process import descendants, forked
from worker.process.signals import Child
from worker.process.slot import Running, Slot

#: How long the payload of a job may be read; then its process is killed, as a job's that ignores its timeout.
READ_SECONDS: Final = 5.0
#: Between two alarms after the timeout.
ALARM_SECONDS: Final = 0.5
#: `signal.signal` without its wrapper, which makes enumerations of numbers and takes fifteen times as long.
_set_handler: Final = _signal.signal
_SIGALRM: Final = int(signal.SIGALRM)


class JobThread(Protocol):
    """Brackets one job in the thread that runs it: `read`, `begin`, `end`; without code of the job `read`, `end`."""

    def read(self, claim: Claim) -> None:
        """Put the job on the scoreboard while its payload is read: a death meanwhile is blamed on it."""
        ...

    def look_up(self, timeout: float) -> None:
        """Allow as long as the job itself has (seconds) for its function to be imported."""
        ...

    def begin(self, claim: Claim, timeout: float) -> None:
        """Start the job's clock (seconds; 0 or less = none) and put it on the scoreboard."""
        ...

    def show(self, claim: Claim, timeout: float, pid: int) -> None:
        """Put a job on the scoreboard that runs in process `pid`, until `end`; nothing is raised here."""
        ...

    def end(self) -> None:
        """Stop the clock; after this nothing is raised from outside."""
        ...

    def end_processes(self, since: float) -> None:
        """Kill the processes that the job has started since `since` (monotonic): it was ended from outside."""
        ...

    def wait(self, seconds: float, fds: Sequence[int]) -> list[int]:
        """Sleep up to `seconds` until one of `fds` can be read (those return), or a signal came."""
        ...


class MainThread:
    """The consumer's main thread: one job at a time."""

    def __init__(self, slot: Slot, child: Child, aftermath: Aftermath) -> None:
        self._slot = slot
        self._child = child
        self._aftermath = aftermath
        self._timeout = JobTimeout(0)
        child.ordered = lambda: slot.order_for(slot.own_run) is not None

    def read(self, claim: Claim) -> None:
        """Show the job; nothing raises yet."""
        if self._aftermath.owed:
            self._aftermath.before_code()
        self._slot.begin_job(claim.job_id, claim.execution_id, READ_SECONDS, reading=True)

    def look_up(self, timeout: float) -> None:
        """Put the deadline off."""
        self._slot.job_deadline = monotonic() + max(timeout, READ_SECONDS)

    def begin(self, claim: Claim, timeout: float) -> None:
        """Let SIGALRM, a hard stop and an order raise from here on."""
        self._slot.begin_job(claim.job_id, claim.execution_id, timeout)
        self._child.interruptible = True
        if self._child.hard:
            raise ShutdownRequested
        if self._slot.order_at and self._child.ordered():
            raise JobStopped
        self._timeout = JobTimeout(timeout)
        self._timeout.setup_death_penalty()

    def show(self, claim: Claim, timeout: float, pid: int) -> None:
        """Put a job on the scoreboard that runs in a fork."""
        self._slot.begin_job(claim.job_id, claim.execution_id, timeout, pid)

    def end(self) -> None:
        """Let nothing raise any more."""
        self._child.interruptible = False
        self._timeout.cancel_death_penalty()
        self._slot.end_job()
        self._aftermath.after_code()

    def end_processes(self, since: float) -> None:
        """Kill what this process has started since then: it runs one job, with callbacks beside it perhaps."""
        descendants.kill_started(since, by_thread=self._aftermath.callbacks > 0)

    def wait(self, seconds: float, fds: Sequence[int]) -> list[int]:
        """Sleep; each signal that the consumer gets ends it."""
        return self._child.wait(seconds, fds)


class JobTimeout(BaseDeathPenalty):  # type: ignore[misc]  # rq is untyped here
    """Limits the code in its ``with`` block to `timeout` seconds; 0 or less means no limit.

    An RQ "death penalty", for RQ's own finishing code too. Unlike RQ's it takes fractions of a second and leaves the
    handler in place: a signal that comes late must not kill the process. The alarm goes on ringing, because a thread of
    the job may have got the first one (`worker.process.signals`); the exception is raised once.
    """

    def __init__(self, timeout: float, exception: type[BaseException] = JobTimeoutException, **_ignored: Any) -> None:
        self._timeout = timeout
        self._exception = exception
        self._raised = False

    def setup_death_penalty(self) -> None:
        """Start the clock; the handler is set anew each time, because job code may have set its own."""
        _set_handler(_SIGALRM, self.handle_death_penalty)
        if self._timeout > 0:
            signal.setitimer(signal.ITIMER_REAL, self._timeout, ALARM_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        """End a process here that code in the block, a callback of RQ's, has forked and left."""
        forked.end_if_strayed(error)
        return super().__exit__(kind, error, trace)

    def cancel_death_penalty(self) -> None:
        """Stop the clock, or the one that job code has started in its place; an alarm that comes late does nothing."""
        self._raised = True
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def handle_death_penalty(self, _number: int, _frame: FrameType | None) -> None:
        """Raise in whatever the main thread is doing."""
        if self._raised or self._timeout <= 0:
            return
        self._raised = True
        raise self._exception(f"The job exceeded its timeout of {self._timeout:g} seconds")


class KilledByOrder(Exception):
    """RQ's command kill-horse ended the attempt."""

    def __init__(self) -> None:
        super().__init__("killed by the command kill-horse")


def running(claim: Claim, began_at: float) -> Running:
    """Return the claim as it stands on the slot while its code runs."""
    return Running(claim.job_id.encode()[:128], claim.execution_id.encode()[:40], began_at, 0.0)


def timed_out(seconds: int | None) -> JobTimeoutException:
    """Say what happened to a job that swallowed its timeout, or sat in native code past it."""
    return JobTimeoutException(
        f"The job ran past its timeout of {seconds} seconds and did not react to it, so its process was killed"
    )
