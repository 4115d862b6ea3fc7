"""What becomes of jobs, on the books: noted for the next exchange with the server, counted on the slot, reported.

Threads of a pool count too, and `+=` on shared memory is no single step: hence the lock.
"""

from __future__ import annotations

import threading
from time import monotonic

from rq.job import Job

from worker import logs
from worker.consumer.in_flight import InFlight
from worker.engine import report
from worker.engine.outcomes import Decider, function_name
from worker.engine.records import Buried, Claim, Outcome
from worker.process.slot import Slot

log = logs.get_logger()


class Accounts:
    """The books of one consumer."""

    def __init__(self, slot: Slot, in_flight: InFlight) -> None:
        self._slot = slot
        self._in_flight = in_flight
        self._lock = threading.Lock()

    def finished(self) -> None:
        """Count a job that returned."""
        with self._lock:
            self._slot.finished += 1

    def failed(self) -> None:
        """Count an attempt that raised."""
        with self._lock:
            self._slot.failed += 1

    def add(self, finished: int, failed: int, buried: int) -> None:
        """Count what a fork has counted, and reported."""
        with self._lock:
            self._slot.finished += finished
            self._slot.failed += failed
            self._slot.buried += buried

    def ended(self, outcome: Outcome, job: Job | None, error: BaseException | None) -> None:
        """Report a failed attempt or a burial, and count the burial."""
        if isinstance(outcome, Buried):
            with self._lock:
                self._slot.buried += 1
        report.ended(outcome, function_name(job), error)

    def note(self, outcome: Outcome, job: Job | None, error: BaseException | None) -> None:
        """Note a failed attempt or a burial for the next exchange with the server, count and report it."""
        outcome.notes = (job, error)
        self._in_flight.finish(outcome)
        self.ended(outcome, job, error)

    def mishandled(self, claim: Claim, decider: Decider, error: BaseException) -> None:
        """Bury a job over which code of ours has raised, unless what became of it is noted already."""
        log.error("job.mishandled", job_id=claim.job_id, queue=claim.origin, exc_info=error)
        if claim in self._in_flight.running:
            self.note(decider.mishandled(claim, monotonic()), None, None)
