"""What follows on the ends of jobs and may take long: webhooks, the dependents of a job that has thousands.

It runs in a few threads beside the one that ends jobs, so that nobody waits for it. The jobs have ended by then, so a
process that dies in the midst of it owes no job; what it leaves undone is told, or done by maintenance.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from worker import logs, sentry
from worker.process import forked, signals
from worker.process.wakeup import Wakeup

log = logs.get_logger()

#: Errands at once. Each thread waits for somebody else's server most of the time.
MOST_THREADS: Final = 16
#: Errands that may wait for a thread before no further job is claimed.
MOST_WAITING: Final = 64


class Errand(Protocol):
    """One piece of work that may take long."""

    def run(self, errands: Errands) -> None:
        """Do it. Once `errands.is_over` what is not done is left; once `errands.ends` Redis is not waited for."""
        ...

    def forgo(self) -> None:
        """Say that it will not be done: the process ends."""
        ...


class Errands:
    """The errands of one process. Threads start when there is something to do, and end when there is nothing.

    `note` is told how many there are, whenever that changes. Job code that a fork runs (`WORKER_ISOLATION=job`) finds
    no threads there: a fork does its errands itself.
    """

    def __init__(self, note: Callable[[int], None] = lambda _: None) -> None:
        self._note = note
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Errand]] = deque()
        self._behind: dict[str, deque[Errand]] = {}  #: of each line, what comes after the one that waits or runs
        self._threads = 0
        self._undone = 0
        self.ends = self.is_over = self._is_closed = False
        self._done = Wakeup()
        forked.give_up(self._done.close)
        note(0)

    def renew(self) -> None:
        """Make a new pipe: a job has closed the old one."""
        self._done.renew()

    @property
    def idle(self) -> bool:
        """Whether all are done."""
        return not self._undone

    @property
    def full(self) -> bool:
        """Whether so many wait that their number should not grow."""
        return len(self._waiting) >= MOST_WAITING

    def fileno(self) -> int:
        """Return what to wait for: readable when one has been done."""
        return self._done.fileno()

    def answer(self) -> None:
        """Clear what `fileno` signalled."""
        self._done.take(4096)

    def submit(self, errand: Errand, line: str = "") -> None:
        """Let a thread do it as soon as one is free. Those of one `line` are done one after the other."""
        if os.getpid() != self._pid:
            errand.run(self)
            return
        with self._lock:
            self._undone += 1
            self._note(self._undone)
            if line in self._behind:
                self._behind[line].append(errand)
                return
            if line:
                self._behind[line] = deque()
            self._waiting.append((line, errand))
            starts = self._threads < MOST_THREADS
            self._threads += starts
        if not starts:
            return
        try:
            with signals.blocked_in_threads():
                threading.Thread(target=self._work, name="errands", daemon=True).start()
        except RuntimeError:  # the system has no thread for us
            self._work()

    def end(self) -> None:
        """Let those that wait for Redis to come back wait no longer; what gets on may still be done."""
        self.ends = True

    def forgo(self) -> None:
        """Begin none any more and have those under way give up; the process is about to end."""
        self.ends = self.is_over = True
        with self._lock:
            left = [errand for _, errand in self._waiting]
            for others in self._behind.values():
                left += others
                others.clear()
            self._waiting.clear()
            self._undone -= len(left)
            self._note(self._undone)
        for errand in left:
            errand.forgo()
        if self._undone:
            log.warning("errands.left_behind", errands=self._undone)

    def close(self) -> None:
        """Give the pipe back. What is still under way wakes nobody any more."""
        forked.keep(self._done.close)
        with self._lock:
            self._is_closed = True
            self._done.close()

    def _work(self) -> None:
        line = ""
        while True:
            with self._lock:
                if others := self._behind.get(line):
                    errand = others.popleft()
                else:
                    self._behind.pop(line, None)
                    if not self._waiting:
                        self._threads -= 1
                        return
                    line, errand = self._waiting.popleft()
            try:
                with sentry.isolated():
                    errand.run(self)
            except Exception:  # a fault of ours, which must not end the thread
                log.exception("errand.failed")
            with self._lock:
                self._undone -= 1
                self._note(self._undone)
                if not self._is_closed:
                    with contextlib.suppress(OSError):  # a job has closed it
                        self._done.send()
