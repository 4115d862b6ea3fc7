"""Threads that run jobs side by side in one consumer: for jobs that wait for I/O, far cheaper than processes.

The consumer's main thread claims and settles; the threads take what it has claimed and wake it when a job is done. A
job is ended by an asynchronous exception, which Python delivers between two bytecodes: code that blocks in native code
is only ended with its process, by the supervisor. The scoreboard has room for one job: it shows the one whose deadline
comes first, which is the one to blame when the process is killed for a timeout.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic

from rq.timeouts import JobTimeoutException

from worker.consumer.in_flight import Batch
from worker.engine.records import Claim
from worker.process.signals import JobStopped, ShutdownRequested, blocked_in_threads
from worker.process.slot import Slot

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
#: A null pointer: takes an exception that has not been raised yet back.
_NOTHING = ctypes.py_object()


class _Post:
    """What one thread is doing."""

    __slots__ = ("claim", "deadline", "raised", "started", "timeout")

    def __init__(self, claim: Claim, timeout: float) -> None:
        self.claim = claim
        self.timeout = timeout
        self.started = monotonic()
        self.deadline = self.started + timeout if timeout > 0 else float("inf")
        self.raised = False


class Crew:
    """`size` threads that take claims from `batch`; `run` is called in one of them with each and must not raise.

    Once `halted()` they begin nothing more.
    """

    def __init__(
        self, size: int, batch: Batch, run: Callable[[Claim], None], slot: Slot, halted: Callable[[], bool]
    ) -> None:
        self.size = size
        self._batch = batch
        self._run = run
        self._slot = slot
        self._halted = halted
        self._lock = threading.RLock()
        self._posts: dict[int, _Post] = {}
        self._held: set[str] = set()  #: executions given out and not done, those included that have not begun
        self._done: list[float] = []  #: how long each job ran that has ended since the last `tally`
        self._calls: SimpleQueue[bool] = SimpleQueue()  #: one True for each claim in the batch; False ends a thread
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._threads = [threading.Thread(target=self._work, name=f"job-{index}", daemon=True) for index in range(size)]
        with blocked_in_threads():
            for thread in self._threads:
                thread.start()

    @property
    def held(self) -> int:
        """How many claims are given out and not done."""
        return len(self._held)

    @property
    def running(self) -> int:
        """How many of them have begun."""
        return len(self._held) - len(self._batch)

    def executions(self) -> set[str]:
        """Return the executions that are given out and not done."""
        with self._lock:
            return set(self._held)

    def fileno(self) -> int:
        """Return what to select on: readable when a thread has finished a job."""
        return self._reader

    def answer(self) -> None:
        """Clear what `fileno` signalled."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def submit(self, claims: list[Claim]) -> None:
        """Give claims out, to be begun in their order."""
        with self._lock:
            self._held.update(claim.execution_id for claim in claims)
        self._batch.load(claims)
        for _ in claims:
            self._calls.put(True)

    def forget(self, claims: list[Claim]) -> None:
        """Note that claims which had not begun were given away."""
        with self._lock:
            self._held.difference_update(claim.execution_id for claim in claims)

    def tally(self) -> list[float]:
        """Return how many seconds each job ran that has ended since the last call."""
        with self._lock:
            done, self._done = self._done, []
        return done

    # -- in a crew thread: this is the job's Station -------------------------------------------------------------------

    def begin(self, claim: Claim, timeout: float) -> None:
        """Let `expire` and `interrupt` raise in this thread from here on."""
        with self._lock:
            self._posts[threading.get_ident()] = _Post(claim, timeout)
            self._show()

    def end(self) -> None:
        """Let nothing raise any more; an exception that is already on its way is caught here."""
        ident = threading.get_ident()
        while True:
            try:
                with self._lock:
                    post = self._posts.pop(ident, None)
                    _raise_in(ident, _NOTHING)
                    if post is not None:
                        self._slot.busy_seconds += monotonic() - post.started
                    self._show()
            except (JobTimeoutException, ShutdownRequested, JobStopped):
                continue
            return

    # -- from other threads --------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Raise `JobTimeoutException` in every job that is past its timeout, once."""
        now = monotonic()
        with self._lock:
            for ident, post in self._posts.items():
                if now >= post.deadline and not post.raised:
                    post.raised = True
                    _raise_in(ident, ctypes.py_object(JobTimeoutException))

    def obey(self) -> None:
        """Raise `JobStopped` in the job that the slot's order names."""
        if not self._slot.order:
            return
        with self._lock:
            for ident, post in self._posts.items():
                if self._slot.ordered(post.claim.job_id, post.claim.execution_id) and not post.raised:
                    post.raised = True
                    _raise_in(ident, ctypes.py_object(JobStopped))

    def interrupt(self) -> None:
        """Raise `ShutdownRequested` in every job."""
        with self._lock:
            for ident in self._posts:
                _raise_in(ident, ctypes.py_object(ShutdownRequested))

    def begun(self) -> list[Claim]:
        """Return the claims whose code runs now."""
        with self._lock:
            return [post.claim for post in self._posts.values()]

    def close(self) -> None:
        """Let idle threads end; running ones end with the process."""
        for _ in self._threads:
            self._calls.put(False)

    def _work(self) -> None:
        while self._calls.get():
            claim = None if self._halted() else self._batch.take()
            if claim is None:
                continue  # it was given away, or will be
            started = monotonic()
            self._run(claim)
            with self._lock:
                self._done.append(monotonic() - started)
                self._held.discard(claim.execution_id)
            with contextlib.suppress(BlockingIOError):
                os.write(self._writer, b"\0")

    def _show(self) -> None:
        """Put the job with the earliest deadline on the scoreboard."""
        posts = self._posts.values()
        if not posts:
            self._slot.job_deadline = 0.0
            self._slot.job_id = self._slot.execution_id = b""
            return
        first = min(posts, key=lambda post: post.deadline)
        self._slot.execution_id = first.claim.execution_id.encode()[:40]
        self._slot.job_id = first.claim.job_id.encode()[:128]
        self._slot.job_started_at = first.started
        self._slot.job_deadline = 0.0 if first.deadline == float("inf") else first.deadline
