"""Count what each function does, in memory, and add it to the fleet's history now and then.

Counting takes a job some microseconds. A thread sends what was counted, one command every `seconds`, and lives while
there is something: a consumer that runs nothing sends nothing. What Redis does not take waits, and is sent with what
comes later. A process that is killed takes what it has not sent with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

from worker import logs
from worker.process import signals
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble
from worker.tallies import MOST_FUNCTIONS, OTHER, Tally, bucket

log = logs.get_logger()

#: Waits longer than this are of clocks that differ.
_LONGEST_WAIT: Final = 10 * 366 * 86400.0


class Counting:
    """Counts what the jobs of one consumer do; its threads may count at once. `seconds` 0: nothing is counted."""

    def __init__(self, calls: ScriptCalls, release: str | None, seconds: float) -> None:
        self._calls = calls
        self._release = release or ""
        self._seconds = seconds
        self._lock = Lock()
        self._counted: dict[str, Tally] = {}
        self._thread: Thread | None = None
        self._closing = Event()
        self._second, self._unix = b"", 0.0  #: the date that was read last
        self._trouble = False

    def count(
        self, function: str, enqueued_at: bytes, started: float, ended: float, *, failed: bool, buried: bool
    ) -> None:
        """Count a run; `started` and `ended` are monotonic, `enqueued_at` is RQ's date."""
        if not self._seconds or not function:
            return
        run = ended - started
        with self._lock:
            counted = self._counted.get(function)
            if counted is None:
                counted = self._new(function)
            counted.processed += 1
            counted.failed += failed
            counted.buried += buried
            if run <= 0:  # it never began: its process was lost, or it was refused
                return
            number = bucket(run)
            counted.run[number] = counted.run.get(number, 0) + 1
            if (since := self._moment(enqueued_at)) is not None:
                wait = self._calls.clock.now() - (monotonic() - started) - since
                if wait < _LONGEST_WAIT:
                    number = bucket(wait)
                    counted.wait[number] = counted.wait.get(number, 0) + 1

    def count_failure(self, function: str, *, buried: bool) -> None:
        """Count the failure of a run that was counted when its function had returned."""
        if self._seconds and function:
            with self._lock:
                counted = self._counted.get(function) or self._new(function)
                counted.failed += 1
                counted.buried += buried

    def close(self) -> None:
        """Send what is left, unless Redis was away just now."""
        self._closing.set()
        if not self._trouble:
            self._send()

    def _new(self, function: str) -> Tally:
        if len(self._counted) >= MOST_FUNCTIONS:
            return self._counted.setdefault(OTHER, Tally())
        counted = self._counted[function] = Tally()
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._send_while_there_is_some, name="history", daemon=True)
            try:
                with signals.blocked_in_threads():
                    self._thread.start()
            except RuntimeError:  # the system has none; the next new function tries again
                self._thread = None
        return counted

    def _send_while_there_is_some(self) -> None:
        while not self._closing.wait(self._seconds):
            if self._send():
                continue
            with self._lock:
                if not self._counted:
                    self._thread = None
                    return

    def _send(self) -> bool:
        """Send what was counted; returns whether there was something."""
        with self._lock:
            counted, self._counted = self._counted, {}
        if not counted:
            return False
        pairs = [part for function, one in counted.items() for part in (function, one.text())]
        try:
            self._calls.call(scripts.TALLY, self._release, *pairs)
        except RedisTrouble as trouble:
            if not self._trouble:
                log.debug("history.waits", code=trouble.code)
            self._trouble = True
            with self._lock:
                for function, one in counted.items():
                    kept = function if function in self._counted or len(self._counted) < MOST_FUNCTIONS else OTHER
                    self._counted.setdefault(kept, Tally()).add(one)
        else:
            self._trouble = False
        return True

    def _moment(self, date: bytes) -> float | None:
        """Return the Unix seconds of a date of RQ's; jobs that were enqueued within one second share the work."""
        second = date[:19]
        if second != self._second:
            try:
                self._unix = datetime.fromisoformat(second.decode()).replace(tzinfo=UTC).timestamp()
            except ValueError:
                return None
            self._second = second
        fraction = date[20:26]
        return self._unix + int(fraction) / 1_000_000 if len(fraction) == 6 and fraction.isdigit() else self._unix
