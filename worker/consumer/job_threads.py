"""Threads beside the main one in which code of jobs runs, and how it is ended there.

It is ended by an asynchronous exception, which Python delivers between two bytecodes: code that blocks in native code
is only ended with its process, by the supervisor. Each thread has its place on the slot, so that the successor knows
which jobs ran, and which of them were past their timeout.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Final

from rq.timeouts import BaseDeathPenalty, JobTimeoutException

from worker.consumer.aftermath import Aftermath
from worker.consumer.main_thread import JobTimeout
from worker.context import JobStopped, ShutdownRequested
from worker.engine.records import Claim
from worker.process import descendants, forked
from worker.process.slot import Slot, ThreadRun
from worker.process.wakeup import readable

raise_in: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
#: A null pointer: takes an exception that has not been raised yet back.
_NOTHING = ctypes.py_object()


class Run:
    """What one thread is doing."""

    __slots__ = ("claim", "deadline", "forked", "limit", "limited", "raised", "reading", "started", "timeout")

    def __init__(
        self, claim: Claim, timeout: float, *, forked: bool = False, reading: bool = False, ending: bool = False
    ) -> None:
        self.claim = claim
        self.timeout = timeout
        self.started = monotonic()
        self.deadline = self.started + timeout if timeout > 0 else float("inf")
        self.forked = forked or ending  #: it runs in a process of its own, which the thread ends, or is RQ's code
        self.reading = reading
        self.raised = forked or reading or ending  #: nothing is raised in code of ours
        self.limit = float("inf")  #: until when the callback may run that RQ's code has called
        self.limited = False


class JobThreads:
    """Some threads of one consumer; each is the `CallbackThread` of what it runs.

    `places` are theirs on the slot. They wake the main thread through a pipe when one of them is done.
    """

    def __init__(self, slot: Slot, places: Sequence[ThreadRun], aftermath: Aftermath) -> None:
        self._slot = slot
        self._aftermath = aftermath
        self._lock = threading.RLock()
        self._runs: dict[int, Run] = {}
        self._places: dict[int, ThreadRun] = {}  #: of each thread, on the slot
        for place in places:
            place.end()
        self.renew()
        forked.give_up(self._close_pipe)

    def renew(self) -> None:
        """Make a new pipe; the numbers of the old one, if there was one, may be somebody else's by now."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return what to select on: readable when a thread has finished a job."""
        return self._reader

    def answer(self) -> None:
        """Clear what `fileno` signalled."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    # -- in one of these threads -------------------------------------------------------------------------------------

    def begin_callbacks(self, claim: Claim, timeout: float) -> None:
        """Show the job whose callbacks run from here on; only those are ended from outside, by their own limits."""
        with self._lock:
            self._begins()
            self._enter(Run(claim, timeout, ending=True))

    def limit(self, timeout: float, exception: type[BaseException], **_ignored: Any) -> BaseDeathPenalty:
        """Return what limits a callback in the calling thread: RQ's code takes this method for a class."""
        if threading.get_ident() in self._runs:
            return _CallbackTimeout(self, timeout)
        return JobTimeout(timeout, exception)

    def let_run(self, seconds: float) -> None:
        """Raise `JobTimeoutException` in this thread in so many seconds; inf: never, nor is one on its way then."""
        ident = threading.get_ident()
        with self._lock:
            run = self._runs[ident]
            run.limit = monotonic() + seconds
            if run.limited:
                run.limited = False
                raise_in(ident, _NOTHING)

    def end(self) -> None:
        """Let nothing raise any more; an exception that is already on its way is caught here."""
        ident = threading.get_ident()
        while True:
            try:
                with self._lock:
                    run = self._runs.pop(ident, None)
                    if run is not None and run.raised:  # only then: Python 3.11 hangs if code is traced or profiled
                        raise_in(ident, _NOTHING)
                    if run is not None:
                        self._spent(monotonic() - run.started)
                    self._places[ident].end()
                    self._show()
            except (JobTimeoutException, ShutdownRequested, JobStopped):
                continue
            break
        self._aftermath.after_thread()
        self._ended()

    def wait(self, seconds: float, fds: Sequence[int]) -> list[int]:
        """Sleep; signals end the main thread's sleep, not this one."""
        return readable(fds, seconds)

    # -- from other threads ------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Raise `JobTimeoutException` in every job that is past its timeout, once."""
        now = monotonic()
        with self._lock:
            for ident, run in self._runs.items():
                if now >= run.deadline and not run.raised:
                    run.raised = True
                    raise_in(ident, ctypes.py_object(JobTimeoutException))
                elif now >= run.limit:
                    run.limit, run.limited = float("inf"), True
                    raise_in(ident, ctypes.py_object(JobTimeoutException))

    def interrupt(self) -> None:
        """Raise `ShutdownRequested` in what a hard stop ends there: not in callbacks."""

    def end_all_processes(self) -> None:
        """Kill what the jobs have started whose code runs now; this process must end after it.

        A thread's own children are only known to itself, so a neighbour's of the same time are killed with them.
        """
        with self._lock:
            since = min((run.started for run in self._runs.values()), default=None)
        if since is not None:
            descendants.kill_started(since, by_thread=False)

    def begun(self) -> list[Claim]:
        """Return the claims whose code runs now."""
        with self._lock:
            return [run.claim for run in self._runs.values()]

    def close(self) -> None:
        """Let idle threads end; running ones end with the process."""
        forked.keep(self._close_pipe)

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def _wake_main_thread(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def _enter(self, run: Run, pid: int = 0) -> None:
        """Show what this thread does from now on."""
        ident, claim = threading.get_ident(), run.claim
        self._runs[ident] = run
        deadline = run.deadline if run.timeout > 0 else 0.0
        self._places[ident].begin(claim.job_id, claim.execution_id, run.started, deadline, pid, reading=run.reading)
        self._show()

    def _begins(self) -> None:
        """Code of a job is about to begin in this thread, which holds the lock."""

    def _spent(self, seconds: float) -> None:
        """Count for how long code of a job has run in this thread, which holds the lock."""
        self._slot.busy_seconds += seconds

    def _show(self) -> None:
        """What runs has changed: show what people are to see."""

    def _ended(self) -> None:
        """Code of a job has ended in this thread, which holds no lock."""


class _CallbackTimeout(BaseDeathPenalty):  # type: ignore[misc]  # rq is untyped here
    """Limits a callback that RQ's code calls in one of the threads; 0 or less means no limit."""

    def __init__(self, threads: JobThreads, timeout: float) -> None:
        super().__init__(timeout, JobTimeoutException)
        self._threads = threads

    def setup_death_penalty(self) -> None:
        """Start the clock."""
        if self._timeout > 0:
            self._threads.let_run(self._timeout)

    def cancel_death_penalty(self) -> None:
        """Stop the clock."""
        while True:
            try:
                self._threads.let_run(float("inf"))
            except JobTimeoutException:  # it was on its way
                continue
            break

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        """End a process here that the callback has forked and left, and say what a timeout was of."""
        forked.end_if_strayed(error)
        if isinstance(error, JobTimeoutException) and not error.args:
            error.args = (f"The job's callback exceeded its timeout of {self._timeout:g} seconds",)
        return super().__exit__(kind, error, trace)
