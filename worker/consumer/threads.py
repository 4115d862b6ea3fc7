"""Threads that run jobs side by side in one consumer: for jobs that wait for I/O, far cheaper than processes.

The consumer's main thread claims and settles; the threads take what it has claimed and wake it when a job is done. A
job is ended by an asynchronous exception, which Python delivers between two bytecodes: code that blocks in native code
is only ended with its process, by the supervisor. Each thread has its place on the slot, so that the successor knows
which jobs were past their timeout; for people the slot shows the job whose deadline comes first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any

from rq.timeouts import BaseDeathPenalty, JobTimeoutException

from worker.consumer.aftermath import Aftermath
from worker.consumer.in_flight import InFlight
from worker.consumer.main_thread import READ_SECONDS, JobTimeout, running
from worker.context import JobStopped, ShutdownRequested
from worker.engine.records import Claim
from worker.process import descendants, forked
from worker.process.slot import Slot, State, ThreadRun
from worker.process.wakeup import readable

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
#: A null pointer: takes an exception that has not been raised yet back.
_NOTHING = ctypes.py_object()


class _Run:
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


class ThreadPool:
    """`size` threads that begin what is in flight; `run` is called in one of them with each claim and must not raise.

    It runs a job and its callbacks: a slow callback holds up what its own thread runs next, and nobody else.

    Once `halted()` they begin nothing more. The pool is the `JobThread` of each of its threads.
    """

    def __init__(
        self,
        size: int,
        in_flight: InFlight,
        run: Callable[[Claim, ThreadPool], None],
        slot: Slot,
        halted: Callable[[], bool],
        aftermath: Aftermath,
    ) -> None:
        self.size = size
        self._in_flight = in_flight
        self._run = run
        self._slot = slot
        self._halted = halted
        self._aftermath = aftermath
        self._lock = threading.RLock()
        self._runs: dict[int, _Run] = {}
        self._places: dict[int, ThreadRun] = {}  #: of each thread, on the slot
        self._interrupted = False
        self._seconds: list[float] = []  #: how long each job ran that has ended since the last `tally`
        self._calls: SimpleQueue[bool] = SimpleQueue()  #: one True for each claim to begin; False ends a thread
        self.renew()
        places = slot.runs[1 : size + 1]
        for place in places:
            place.end()
        slot.run_count = size + 1
        self._threads = [
            threading.Thread(target=self._work, args=(place,), name=f"job-{index}", daemon=True)
            for index, place in enumerate(places)
        ]
        for thread in self._threads:
            thread.start()
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

    def submit(self, claims: list[Claim]) -> None:
        """Let the threads begin claims, in their order."""
        self._in_flight.load(claims)
        for _ in claims:
            self._calls.put(True)

    def tally(self) -> list[float]:
        """Return how many seconds each job ran that has ended since the last call."""
        with self._lock:
            seconds, self._seconds = self._seconds, []
        return seconds

    # -- in a thread of the pool: this is the job's JobThread --------------------------------------------------------

    def read(self, claim: Claim) -> None:
        """Show the job; nothing is raised in this thread yet."""
        with self._lock:
            if self._aftermath.owed and not self._runs:
                self._aftermath.after_all()
            self._enter(_Run(claim, READ_SECONDS, reading=True))

    def look_up(self, timeout: float) -> None:
        """Put the deadline off."""
        with self._lock:
            claim = self._runs[threading.get_ident()].claim
            self._enter(_Run(claim, max(timeout, READ_SECONDS), reading=True))

    def begin(self, claim: Claim, timeout: float) -> None:
        """Let `expire` and `interrupt` raise in this thread from here on."""
        with self._lock:
            self._enter(_Run(claim, timeout))
            if self._interrupted:
                raise ShutdownRequested

    def show(self, claim: Claim, timeout: float, pid: int) -> None:
        """Put a job on the scoreboard that runs in a fork, for which this thread waits."""
        with self._lock:
            if self._aftermath.owed and not self._runs:
                self._aftermath.after_all()
            self._enter(_Run(claim, timeout, forked=True), pid)

    def begin_callbacks(self, claim: Claim, timeout: float) -> None:
        """Show the job whose callbacks run from here on; only those are ended from outside, by their own limits."""
        with self._lock:
            if self._aftermath.owed and not self._runs:
                self._aftermath.after_all()
            self._enter(_Run(claim, timeout, ending=True))

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
                _raise_in(ident, _NOTHING)

    def end(self) -> None:
        """Let nothing raise any more; an exception that is already on its way is caught here."""
        ident = threading.get_ident()
        while True:
            try:
                with self._lock:
                    run = self._runs.pop(ident, None)
                    if run is not None and run.raised:  # only then: Python 3.11 hangs if code is traced or profiled
                        _raise_in(ident, _NOTHING)
                    if run is not None:
                        self._slot.busy_seconds += monotonic() - run.started
                    self._places[ident].end()
                    self._show()
            except (JobTimeoutException, ShutdownRequested, JobStopped):
                continue
            break
        self._aftermath.after_thread()
        with self._lock:
            if not self._runs:
                self._aftermath.after_all()

    def end_processes(self, since: float) -> None:
        """Kill what this thread has started since then; its neighbours' processes run on."""
        descendants.kill_started(since, by_thread=True)

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
                    _raise_in(ident, ctypes.py_object(JobTimeoutException))
                elif now >= run.limit:
                    run.limit, run.limited = float("inf"), True
                    _raise_in(ident, ctypes.py_object(JobTimeoutException))

    def obey(self) -> None:
        """Raise `JobStopped` in the jobs that the slot's orders name."""
        if not self._slot.order_at:
            return
        with self._lock:
            for ident, run in self._runs.items():
                if not run.raised and self._slot.order_for(running(run.claim, run.started)):
                    run.raised = True
                    _raise_in(ident, ctypes.py_object(JobStopped))

    def interrupt(self) -> None:
        """Raise `ShutdownRequested` in every job."""
        with self._lock:
            self._interrupted = True
            for ident, run in self._runs.items():
                if not (run.forked or run.reading):
                    run.raised = True
                    _raise_in(ident, ctypes.py_object(ShutdownRequested))

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
        for _ in self._threads:
            self._calls.put(False)
        forked.keep(self._close_pipe)

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def _work(self, place: ThreadRun) -> None:
        self._places[threading.get_ident()] = place
        while self._calls.get():
            claim = None if self._halted() else self._in_flight.begin()
            if claim is None:
                continue  # it was given away, or will be
            started = monotonic()
            self._run(claim, self)
            with self._lock:
                self._seconds.append(monotonic() - started)
            with contextlib.suppress(BlockingIOError):
                os.write(self._writer, b"\0")

    def _enter(self, run: _Run, pid: int = 0) -> None:
        """Show what this thread does from now on."""
        ident, claim = threading.get_ident(), run.claim
        self._runs[ident] = run
        deadline = run.deadline if run.timeout > 0 else 0.0
        self._places[ident].begin(claim.job_id, claim.execution_id, run.started, deadline, pid, reading=run.reading)
        self._show()

    def _show(self) -> None:
        """Put the job with the earliest deadline on the scoreboard."""
        runs = self._runs.values()
        if not runs:
            self._slot.job_deadline = 0.0
            self._slot.job_id = self._slot.execution_id = b""
            return
        first = min(runs, key=lambda run: run.deadline)
        self._slot.execution_id = first.claim.execution_id.encode()[:40]
        self._slot.job_id = first.claim.job_id.encode()[:128]
        self._slot.job_started_at = first.started
        self._slot.job_deadline = 0.0 if first.deadline == float("inf") else first.deadline


class _CallbackTimeout(BaseDeathPenalty):  # type: ignore[misc]  # rq is untyped here
    """Limits a callback that RQ's code calls in a thread of the pool; 0 or less means no limit."""

    def __init__(self, pool: ThreadPool, timeout: float) -> None:
        super().__init__(timeout, JobTimeoutException)
        self._pool = pool

    def setup_death_penalty(self) -> None:
        """Start the clock."""
        if self._timeout > 0:
            self._pool.let_run(self._timeout)

    def cancel_death_penalty(self) -> None:
        """Stop the clock."""
        while True:
            try:
                self._pool.let_run(float("inf"))
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


class BesideThreads:
    """Where the main thread shows the job that it finishes with RQ's code while threads run others."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._place = slot.runs[0]

    def begin_job(self, job_id: str, execution_id: str, timeout: float, *, reading: bool = False) -> None:
        """Name the job whose code runs from now on, or whose payload is read; `timeout` in seconds."""
        now = monotonic()
        self._place.begin(job_id, execution_id, now, now + timeout, reading=reading)
        self._slot.tick(State.BUSY)

    def end_job(self) -> None:
        """Say that no job code runs any more in the main thread."""
        self._slot.busy_seconds += monotonic() - self._place.began_at
        self._place.end()
        self._slot.tick(State.CLAIMING)
