"""The chore that moves scheduled jobs (`enqueue_at`, `enqueue_in`, delayed retries) to their queues when due."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
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
#: Jobs that one look moves: some ms of the server's time. If more are due, the next look follows at once.
MOST: Final = 200
#: Where commands are rare, a look that finds nothing due doubles the wait for the next, up to this (or the interval).
LONGEST_SECONDS: Final = 90.0
#: There one instance looks for all that read the same queues. Another takes over when it has not looked for so many of
#: its own waits.
SEAT_WAITS: Final = 4
#: The others spread over so many seconds when they ask whether it still looks.
SPREAD_SECONDS: Final = 5.0


class ScheduledJobs:
    """Moves scheduled jobs that are due.

    It looks every `interval` seconds for jobs that others have scheduled (0: never). Jobs that our consumers schedule
    need no look: the consumers note them on their slots. Where commands are `rare` it looks less often while nothing
    happens, that is while nothing falls due and no job ends here (`ended` counts those), and one instance looks for
    all.
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
        rare: bool = False,
        ended: Callable[[], int] = lambda: 0,
    ) -> None:
        self._due = self._looked_at = 0.0
        self._calls = calls
        self._queues = queues
        self._interval = interval or math.inf
        self._consumers = consumers
        self._header = header
        self._name = name
        self._rare = rare and interval > 0
        self._ended = ended
        self._ended_seen = ended()
        self._wait = 0.0  #: after the last look, where commands are rare; 0 = begin anew
        self._seated_until = 0.0  #: until when (monotonic) the others leave looking to us

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
        called_for = self._looked_at < self._due  # by a job of ours, or by the clock
        wait = self._next_wait()
        seat = math.ceil(SEAT_WAITS * wait) if self._rare and not called_for else 0
        found = look(self._calls, self._queues, name=self._name, seat=seat)
        pauses.show(self._header, self._queues, found.blocked.paused, suspended=found.blocked.suspended)
        if found.moved:
            log.info("schedule.moved", jobs=found.moved, late=found.late)
        if found.left:
            wait, self._wait, self._seated_until = found.left + random.uniform(0, SPREAD_SECONDS), 0.0, 0.0
        else:
            self._wait = 0.0 if found.moved else wait
            wait = min(wait, self._interval) if found.moved else wait
            self._seated_until = self._looked_at + seat if seat else self._seated_until
        due_in = found.next_due + MARGIN_SECONDS if found.next_due >= 0 else math.inf
        self._due = self._looked_at + min(wait, due_in)

    def resign(self) -> None:
        """Let another instance look, at once, if we do it for all; raises `RedisTrouble`."""
        if monotonic() < self._seated_until:
            self._seated_until = 0.0
            self._calls.redis.delete(self._calls.keys.look(self._queues))

    def _next_wait(self) -> float:
        """Return how long to wait for the next look if this one finds nothing due."""
        if not self._rare:
            return self._interval
        ended = self._ended()
        if ended != self._ended_seen:
            self._ended_seen, self._wait = ended, 0.0
        return min(2 * self._wait, max(LONGEST_SECONDS, self._interval)) if self._wait else self._interval


class Blocked(NamedTuple):
    """What keeps jobs from being claimed."""

    suspended: bool
    paused: Paused


class Look(NamedTuple):
    """What a look has found, times in seconds."""

    moved: int
    next_due: float  #: until the next job is due or a pause ends; -1 = never
    late: float  #: the oldest of the moved jobs
    blocked: Blocked
    left: float  #: for how long another instance looks; 0 = it was looked


def look(calls: ScriptCalls, queues: Sequence[str], limit: int = MOST, *, name: str = "", seat: int = 0) -> Look:
    """Move jobs that are due, and let jobs go on whose pause is over.

    `name` is the dispatcher's: its instance may be paused. With `seat` nothing is moved if another instance looks, and
    if none does this one does for so many seconds.
    """
    asked_at = monotonic()
    reply = calls.call(scripts.MOVE_DUE, limit, seat, *queues, worker_name=name)
    moved, next_due, late, moment, suspended, paused, left = reply
    calls.clock.hear(float(moment), asked_at)
    return Look(moved, float(next_due), float(late), Blocked(bool(suspended), Paused.read(paused)), float(left))


def move_due(calls: ScriptCalls, queues: Sequence[str], limit: int = MOST) -> tuple[int, float, float]:
    """Move jobs that are due; returns (moved, seconds to the next or -1, lateness of the oldest)."""
    found = look(calls, queues, limit)
    return found.moved, found.next_due, found.late
