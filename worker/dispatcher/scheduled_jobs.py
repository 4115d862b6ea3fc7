"""The chore that moves scheduled jobs (`enqueue_at`, `enqueue_in`, delayed retries) to their queues when due."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

from worker import logs
from worker.engine import pauses
from worker.engine.records import Paused
from worker.process.scoreboard import Header
from worker.process.slot import Slot
from worker.redis import scripts
from worker.redis.calls import ScriptCalls

log = logs.get_logger()


#: RQ's due times are whole seconds: we look this much later, so that the job surely is due.
MARGIN_SECONDS: Final = 0.002


class ScheduledJobs:
    """Moves scheduled jobs that are due.

    It looks every `interval` seconds for jobs that others have scheduled (0: never). Jobs that our consumers schedule
    need no look: the consumers note them on their slots.
    """

    def __init__(
        self,
        calls: ScriptCalls,
        queues: Sequence[str],
        interval: float,
        consumers: Sequence[Slot],
        *,
        header: Header,
        name: str,
    ) -> None:
        self._due = self._looked_at = 0.0
        self._calls = calls
        self._queues = queues
        self._interval = interval or math.inf
        self._consumers = consumers
        self._header = header
        self._name = name

    @property
    def due(self) -> float:
        """When to look next: when the server's last reply says, or sooner because a consumer has scheduled a job."""
        if self._calls.clock.stepped_at > self._looked_at:
            return 0.0
        known = [slot.retry_due for slot in self._consumers if slot.retry_due > self._looked_at]
        return min(self._due, *known) if known else self._due

    def run(self) -> None:
        """Move what is due; come back when the next job is due, at the latest after the interval."""
        self._looked_at = monotonic()
        moved, next_due, late, blocked = look(self._calls, self._queues, name=self._name)
        pauses.show(self._header, self._queues, blocked.paused, suspended=blocked.suspended)
        if moved:
            log.info("schedule.moved", jobs=moved, late=late)
        wait = self._interval if next_due < 0 else min(self._interval, next_due + MARGIN_SECONDS)
        self._due = self._looked_at + wait


class Blocked(NamedTuple):
    """What keeps jobs from being claimed."""

    suspended: bool
    paused: Paused


def look(
    calls: ScriptCalls, queues: Sequence[str], limit: int = 1000, *, name: str = ""
) -> tuple[int, float, float, Blocked]:
    """Move jobs that are due, and let jobs go on whose pause is over.

    `name` is the dispatcher's: its instance may be paused.
    Returns (moved, seconds to the next job or end of a pause, or -1, lateness of the oldest, what is blocked).
    """
    asked_at = monotonic()
    moved, next_due, late, moment, suspended, paused = calls.call(scripts.MOVE_DUE, limit, *queues, worker_name=name)
    calls.clock.hear(float(moment), asked_at)
    return moved, float(next_due), float(late), Blocked(bool(suspended), Paused.read(paused))


def move_due(calls: ScriptCalls, queues: Sequence[str], limit: int = 1000) -> tuple[int, float, float]:
    """Move jobs that are due; returns (moved, seconds to the next or -1, lateness of the oldest)."""
    return look(calls, queues, limit)[:3]
