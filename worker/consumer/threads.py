"""Threads that run jobs side by side in one consumer: for jobs that wait for I/O, far cheaper than processes.

The consumer's main thread claims and settles; the threads take what it has claimed and wake it when a job is done. How
jobs are ended there is in ``job_threads.py``. For people the slot shows the job whose deadline comes first.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic

from worker.consumer.aftermath import Aftermath
from worker.consumer.in_flight import InFlight
from worker.consumer.job_threads import JobThreads, Run, raise_in
from worker.consumer.main_thread import READ_SECONDS, running
from worker.context import JobStopped, ShutdownRequested
from worker.engine.records import Claim
from worker.process import descendants
from worker.process.slot import Slot, State, ThreadRun


class ThreadPool(JobThreads):
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
        places = slot.runs[1 : size + 1]
        super().__init__(slot, places, aftermath)
        self.size = size
        self._in_flight = in_flight
        self._run = run
        self._halted = halted
        self._interrupted = False
        self._seconds: list[float] = []  #: how long each job ran that has ended since the last `tally`
        self._calls: SimpleQueue[bool] = SimpleQueue()  #: one True for each claim to begin; False ends a thread
        slot.run_count = size + 1
        self._threads = [
            threading.Thread(target=self._work, args=(place,), name=f"job-{index}", daemon=True)
            for index, place in enumerate(places)
        ]
        for thread in self._threads:
            thread.start()

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
            self._begins()
            self._enter(Run(claim, READ_SECONDS, reading=True))

    def look_up(self, timeout: float) -> None:
        """Put the deadline off."""
        with self._lock:
            claim = self._runs[threading.get_ident()].claim
            self._enter(Run(claim, max(timeout, READ_SECONDS), reading=True))

    def begin(self, claim: Claim, timeout: float) -> None:
        """Let `expire` and `interrupt` raise in this thread from here on."""
        with self._lock:
            self._enter(Run(claim, timeout))
            if self._interrupted:
                raise ShutdownRequested

    def show(self, claim: Claim, timeout: float, pid: int) -> None:
        """Put a job on the scoreboard that runs in a fork, for which this thread waits."""
        with self._lock:
            self._begins()
            self._enter(Run(claim, timeout, forked=True), pid)

    def end_processes(self, since: float) -> None:
        """Kill what this thread has started since then; its neighbours' processes run on."""
        descendants.kill_started(since, by_thread=True)

    # -- from other threads ------------------------------------------------------------------------------------------

    def obey(self) -> None:
        """Raise `JobStopped` in the jobs that the slot's orders name."""
        if not self._slot.order_at:
            return
        with self._lock:
            for ident, run in self._runs.items():
                if not run.raised and self._slot.order_for(running(run.claim, run.started)):
                    run.raised = True
                    raise_in(ident, ctypes.py_object(JobStopped))

    def interrupt(self) -> None:
        """Raise `ShutdownRequested` in every job."""
        with self._lock:
            self._interrupted = True
            for ident, run in self._runs.items():
                if not (run.forked or run.reading):
                    run.raised = True
                    raise_in(ident, ctypes.py_object(ShutdownRequested))

    def close(self) -> None:
        """Let idle threads end; running ones end with the process."""
        for _ in self._threads:
            self._calls.put(False)
        super().close()

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
            self._wake_main_thread()

    def _begins(self) -> None:
        if self._aftermath.owed and not self._runs:
            self._aftermath.after_all()

    def _ended(self) -> None:
        with self._lock:
            if not self._runs:
                self._aftermath.after_all()

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
