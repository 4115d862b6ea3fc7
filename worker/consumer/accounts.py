"""What becomes of jobs, on the books: noted for the next exchange with the server, counted on the slot, reported.

Threads of a pool count too, and `+=` on shared memory is no single step: hence the lock.
"""

from __future__ import annotations

import threading
from time import monotonic

from rq.job import Job

from worker import logs
from worker.consumer.in_flight import InFlight
from worker.consumer.tally import Counting
from worker.engine import report
from worker.engine.outcomes import Decider, function_name
from worker.engine.records import Buried, Claim, Outcome
from worker.process.slot import Slot

log = logs.get_logger()


class Accounts:
    """The books of one consumer. `counting` counts by function; None where another process does."""

    def __init__(self, slot: Slot, in_flight: InFlight, counting: Counting | None = None) -> None:
        self._slot = slot
        self._in_flight = in_flight
        self._counting = counting
        self._lock = threading.Lock()

    def finished(self, job: Job, claim: Claim, started: float, ended: float) -> None:
        """Count a job that returned."""
        with self._lock:
            self._slot.finished += 1
        self._count(job, claim, started, ended)

    def failed(self) -> None:
        """Count an attempt that raised."""
        with self._lock:
            self._slot.failed += 1

    def add(self, counts: tuple[int, int, int], job: Job, claim: Claim, started: float, ended: float) -> None:
        """Count what a fork has counted, and reported: jobs that returned, failed, were buried."""
        finished, failed, buried = counts
        with self._lock:
            self._slot.finished += finished
            self._slot.failed += failed
            self._slot.buried += buried
        if any(counts):
            self._count(job, claim, started, ended, failed=failed + buried > 0, buried=buried > 0)

    def ended(self, outcome: Outcome, job: Job | None, error: BaseException | None, *, counted: bool = False) -> None:
        """Report a failed attempt or a burial, and count it; `counted`: the run was, when the function had ended."""
        buried = isinstance(outcome, Buried)
        if buried:
            with self._lock:
                self._slot.buried += 1
        if not counted:
            self._count(job, outcome.claim, outcome.started, outcome.ended, failed=True, buried=buried)
        elif self._counting is not None:
            self._counting.count_failure(function_name(job), buried=buried)
        report.ended(outcome, function_name(job), error)

    def note(self, outcome: Outcome, job: Job | None, error: BaseException | None, *, counted: bool = False) -> None:
        """Note a failed attempt or a burial for the next exchange with the server, count and report it."""
        outcome.notes = (job, error)
        self._in_flight.finish(outcome)
        self.ended(outcome, job, error, counted=counted)

    def _count(
        self, job: Job | None, claim: Claim, started: float, ended: float, *, failed: bool = False, buried: bool = False
    ) -> None:
        if self._counting is not None:
            enqueued_at = claim.fields.get(b"enqueued_at", b"")
            self._counting.count(function_name(job), enqueued_at, started, ended, failed=failed, buried=buried)

    def mishandled(self, claim: Claim, decider: Decider, error: BaseException) -> None:
        """Bury a job over which code of ours has raised, unless what became of it is noted already."""
        log.error("job.mishandled", job_id=claim.job_id, queue=claim.origin, exc_info=error)
        if claim in self._in_flight.running:
            self.note(decider.mishandled(claim, monotonic()), None, None)
