"""The chore that moves scheduled jobs (`enqueue_at`, `enqueue_in`, delayed retries) to their queues when due."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from worker import logs
from worker.claims import Claims

log = logs.get_logger()


class Schedule:
    """Moves scheduled jobs that are due."""

    def __init__(self, claims: Claims, queues: Sequence[str], interval: float) -> None:
        self.due = 0.0
        self._claims = claims
        self._queues = queues
        self._interval = interval

    def run(self) -> None:
        """Move what is due; come back when the next job is due, at the latest after the interval."""
        moved, next_due, late = self._claims.move_due(self._queues)
        if moved:
            log.info("schedule.moved", jobs=moved, late=late)
        wait = self._interval if next_due < 0 else min(self._interval, next_due)
        self.due = monotonic() + wait
