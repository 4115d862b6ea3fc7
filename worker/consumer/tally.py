"""Count what each function does, in memory, and add it to the fleet's history now and then.

Counting takes a job 2 or 3 µs. A thread sends what was counted, one command every `seconds`, and lives while
there is something: a consumer that runs nothing sends nothing. What Redis does not take waits, and is sent with what
comes later. A process that is killed takes what it has not sent with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

from worker import logs
from worker.process import signals
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble
from worker.tallies import ENDS, LAST, MOST_FUNCTIONS, OTHER, Tally

log = logs.get_logger()

#: Waits longer than this are of clocks that differ.
_LONGEST_WAIT: Final = 10 * 366 * 86400.0


#: Runs that are noted before they are counted.
_MOST_NOTED: Final = 1000


class Counting:
    """Counts what the jobs of one consumer do; its threads may count at once. `seconds` 0: nothing is counted.

    A run is only noted where it ends, which is quick; notes are counted a thousand at a time, or before they are sent.
    """

    def __init__(self, calls: ScriptCalls, release: str | None, seconds: float) -> None:
        self._calls = calls
        self._release = release or ""
        self._seconds = seconds
        self._noted: deque[tuple[str, bytes, float, float, bool, bool]] = deque()
        self._lock = Lock()
        self._counted: dict[str, _Counts] = {}
        self._sends = False  #: the thread lives
        self._closing = Event()
        self._trouble = False

    def count(
        self, function: str, enqueued_at: bytes, started: float, ended: float, *, failed: bool, buried: bool
    ) -> None:
        """Count a run; `started` and `ended` are monotonic, `enqueued_at` is RQ's date."""
        if not self._seconds or not function:
            return
        self._noted.append((function, enqueued_at, started, ended, failed, buried))
        if len(self._noted) >= _MOST_NOTED:
            with self._lock:
                self._fold()
        if not self._sends:
            self._begin_to_send()

    def count_failure(self, function: str, *, buried: bool) -> None:
        """Count the failure of a run that was counted when its function had returned."""
        if self._seconds and function:
            with self._lock:
                counts = self._of(function)
                counts.failed += 1
                counts.buried += buried
            if not self._sends:
                self._begin_to_send()

    def close(self) -> None:
        """Send what is left, unless Redis was away just now."""
        self._closing.set()
        if not self._trouble:
            self._send()

    def _begin_to_send(self) -> None:
        with self._lock:
            if self._sends or self._closing.is_set():
                return
            try:
                with signals.blocked_in_threads():
                    Thread(target=self._send_while_there_is_some, name="history", daemon=True).start()
            except RuntimeError:  # the system has none; the next job tries again
                return
            self._sends = True

    def _send_while_there_is_some(self) -> None:
        while not self._closing.wait(self._seconds):
            if self._send():
                continue
            self._sends = False  # from here on a job begins another thread
            with self._lock:
                if self._sends or not (self._noted or self._counted):
                    return
                self._sends = True

    def _send(self) -> bool:
        """Send what was counted; returns whether there was something."""
        with self._lock:
            self._fold()
            counted, self._counted = self._counted, {}
        if not counted:
            return False
        pairs = [part for function, counts in counted.items() for part in (function, counts.tally().text())]
        try:
            self._calls.call(scripts.TALLY, self._release, *pairs)
        except RedisTrouble as trouble:
            if not self._trouble:
                log.debug("history.waits", code=trouble.code)
            self._trouble = True
            with self._lock:
                for function, counts in counted.items():
                    self._of(function).add(counts)
        else:
            self._trouble = False
        return True

    def _of(self, function: str) -> _Counts:
        """Return the counts of a function, or those of all others where there are too many."""
        if function not in self._counted and len(self._counted) >= MOST_FUNCTIONS:
            function = OTHER
        return self._counted.setdefault(function, _Counts())

    def _fold(self) -> None:
        """Count what was noted."""
        server = self._calls.clock.now() - monotonic()  # from our monotonic clock to the server's time
        second, unix = b"", 0.0  # most jobs were enqueued in the same second as the one before
        noted = self._noted
        for _ in range(len(noted)):
            try:
                function, date, started, ended, failed, buried = noted.popleft()
            except IndexError:
                return
            counts = self._counted.get(function) or self._of(function)
            counts.processed += 1
            if failed:
                counts.failed += 1
                counts.buried += buried
            if ended <= started:  # it never began: its process was lost, or it was refused
                continue
            counts.run[bisect_right(ENDS, ended - started)] += 1
            try:
                if date[:19] != second:
                    unix = datetime.fromisoformat(date[:19].decode()).replace(tzinfo=UTC).timestamp()
                    second = date[:19]
                wait = started + server - unix - int(date[20:26]) / 1_000_000
            except ValueError:  # it has no date, or a stranger's
                continue
            if wait < _LONGEST_WAIT:
                counts.wait[bisect_right(ENDS, wait)] += 1


class _Counts:
    """A tally that is quick to count in."""

    __slots__ = ("buried", "failed", "processed", "run", "wait")

    def __init__(self) -> None:
        self.processed = self.failed = self.buried = 0
        self.run, self.wait = [0] * (LAST + 1), [0] * (LAST + 1)

    def add(self, other: _Counts) -> None:
        self.processed += other.processed
        self.failed += other.failed
        self.buried += other.buried
        self.run = [one + more for one, more in zip(self.run, other.run, strict=True)]
        self.wait = [one + more for one, more in zip(self.wait, other.wait, strict=True)]

    def tally(self) -> Tally:
        run, wait = ({at: count for at, count in enumerate(of) if count} for of in (self.run, self.wait))
        return Tally(self.processed, self.failed, self.buried, run, wait)
