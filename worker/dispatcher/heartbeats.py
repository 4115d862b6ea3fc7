"""The chore that keeps the consumers of this instance, and their claims, alive in Redis."""

from __future__ import annotations

from time import monotonic
from typing import Final

from worker.engine.leases import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, heartbeat
from worker.process.memory import resident_mb
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot
from worker.redis.calls import ScriptCalls

#: Busy consumers are kept alive this often: three times within the life that a claim gives them.
BUSY_HEARTBEAT_SECONDS: Final = BUSY_TTL_SECONDS / 3
#: An idle consumer that has not asked for jobs for so long is beaten for: longer than its own polls are apart
#: (`seat.SAFETY_POLL_SECONDS`), and well before its record expires.
SILENT_SECONDS: Final = IDLE_TTL_SECONDS * 0.7


class Heartbeats:
    """Keeps the consumers of this instance that may hold claims alive in Redis, and their claims with them.

    Idle ones have nothing to lose, and on a Redis that bills by the command silence is cheap: each claim of theirs,
    even an empty one, prolongs their record by IDLE_TTL_SECONDS. Only who has not asked for long is beaten for: a
    quiet consumer, or one whose standing claim has not been answered yet.
    """

    def __init__(self, calls: ScriptCalls, scoreboard: Scoreboard) -> None:
        self.due = 0.0
        self._calls = calls
        self._scoreboard = scoreboard
        self._beaten_at: dict[int, float] = {}  #: by slot

    def run(self) -> None:
        """Beat for those that need it."""
        now = monotonic()
        beats = [
            slot for slot in self._scoreboard.consumers if slot.pid and slot.worker_name and self._needs(slot, now)
        ]
        if beats:
            memory = {slot.worker_name.decode(): resident_mb(slot.pid) for slot in beats}
            # Consumers whose record is gone write it again with their next claim.
            heartbeat(self._calls, memory, memory)
            self._beaten_at |= {slot.index: now for slot in beats}
        self.due = now + BUSY_HEARTBEAT_SECONDS

    def _needs(self, slot: Slot, now: float) -> bool:
        heard = max(slot.claimed_at, slot.spawned_at, self._beaten_at.get(slot.index, float("-inf")))
        return slot.busy or now - heard > SILENT_SECONDS
