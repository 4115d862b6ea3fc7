"""Threads in which callbacks run that take long, in a consumer that runs one job at a time (in its main thread).

A callback begins as soon as its job has ended, and the main thread waits for it: most are over in a moment, and then no
code of jobs has run beside other code of jobs. It waits for `PATIENCE_SECONDS`. A callback that takes longer goes on
beside what the consumer runs next, so that it holds up nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

from worker import logs
from worker.consumer.aftermath import Aftermath
from worker.consumer.in_flight import Ending, InFlight
from worker.consumer.job_threads import JobThreads
from worker.engine.records import Claim
from worker.process.slot import Slot, ThreadRun

log = logs.get_logger()

#: Callbacks that run at once. While so many do, nothing is claimed.
MOST_CALLBACKS: Final = 16
#: How long the main thread waits for each.
PATIENCE_SECONDS: Final = 0.1
#: The `thread` of an ending that the next free thread takes.
CALLED: Final = -1


class CallbackThreads(JobThreads):
    """The callbacks of one consumer's jobs; none of its methods is called by two threads at once but by its own."""

    def __init__(self, in_flight: InFlight, slot: Slot, aftermath: Aftermath) -> None:
        self._spare = [*slot.runs[1 : MOST_CALLBACKS + 1]]  #: the places of threads that are not needed yet
        super().__init__(slot, self._spare, aftermath)
        slot.beside_count = MOST_CALLBACKS
        self._in_flight = in_flight
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()  #: None ends a thread
        self._left: set[str] = set()  #: executions that the main thread finishes, after a fault here
        self._seconds = 0.0
        self._closed = False
        self.on_long: Callable[[], None] = lambda: None  #: called when a callback goes on beside what comes next

    @property
    def full(self) -> bool:
        """Whether nothing may be claimed now: so many run, or one does that may have killed its last process."""
        endings = self._in_flight.in_callbacks
        return len(endings) >= MOST_CALLBACKS or any(b"suspect" in ending.claim.fields for ending in endings)

    def run(self, ending: Ending, finish: Callable[[CallbackThreads], None]) -> bool:
        """Have `finish` called in a thread, which then finishes this ending, and wait a moment for its end.

        The main thread calls this while it runs no job. False: there is no thread for it.
        """
        if self._closed or ending.claim.execution_id in self._left or not self._has_thread():
            return False
        call = _Call(ending, finish)
        ending.thread = CALLED
        with self._lock:
            self._aftermath.callbacks += 1
        self._calls.put(call)
        if not call.over.wait(PATIENCE_SECONDS):
            self.on_long()
        self.answer()
        return True

    def answer(self) -> None:
        """Clear what `fileno` signalled, and count for how long callbacks have run."""
        super().answer()
        with self._lock:
            seconds, self._seconds = self._seconds, 0.0
        self._slot.busy_seconds += seconds

    def begun(self) -> list[Claim]:
        """Return the claims whose callbacks have not ended."""
        return [ending.claim for ending in self._in_flight.in_callbacks]

    def close(self) -> None:
        """Let idle threads end; running ones end with the process."""
        self._closed = True
        for _ in range(MOST_CALLBACKS - len(self._spare)):
            self._calls.put(None)
        super().close()

    def _has_thread(self) -> bool:
        """Start one more where all are busy; returns whether there is any."""
        started = MOST_CALLBACKS - len(self._spare)
        if self._spare and self._aftermath.callbacks >= started:
            thread = threading.Thread(
                target=self._work, args=(self._spare[-1],), name=f"callbacks-{started}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the system has no thread for us
                return started > 0
            self._spare.pop()
        return True

    def _work(self, place: ThreadRun) -> None:
        ident = threading.get_ident()
        self._places[ident] = place
        while (call := self._calls.get()) is not None:
            call.ending.thread = ident
            try:
                call.finish(self)
            except Exception:  # a fault of ours, which must not end the thread; the main thread tries it once more
                log.exception("callbacks.failed", job_id=call.ending.claim.job_id)
                self._left.add(call.ending.claim.execution_id)
                call.ending.thread = 0
            self._aftermath.owed = True
            with self._lock:
                self._aftermath.callbacks -= 1
            call.over.set()
            self._wake_main_thread()

    def _spent(self, seconds: float) -> None:
        self._seconds += seconds  # the main thread counts, too, and `+=` on shared memory is no single step


@dataclass(frozen=True, slots=True)
class _Call:
    ending: Ending
    finish: Callable[[CallbackThreads], None]
    over: threading.Event = field(default_factory=threading.Event)
