"""The chore that keeps the consumers of this instance, and their claims, alive in Redis."""

from __future__ import annotations

from time import monotonic
from typing import Final

from worker.engine.leases import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, heartbeat
from worker.process.memory import with_forks_bytes
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot
from worker.redis.calls import ScriptCalls

#: Busy consumers are kept alive this often: three times within the life that a claim gives them.
BUSY_HEARTBEAT_SECONDS: Final = BUSY_TTL_SECONDS / 3
#: An idle consumer gets a heartbeat when its last claim is this long ago: longer than its own polls are apart
#: (`supervision.SAFETY_POLL_SECONDS`), and well before its record expires.
SILENT_SECONDS: Final = IDLE_TTL_SECONDS * 0.7


class Heartbeats:
    """Keeps the consumers of this instance that may hold claims alive in Redis, and their claims with them.

    Idle consumers hold no claims, and their own claims, even empty ones, prolong their records by IDLE_TTL_SECONDS. So
    they get a heartbeat only if they have not claimed recently: quiet ones, and one that is blocked in a claim. On a
    Redis that bills by the command this silence saves money.
    """

    def __init__(self, calls: ScriptCalls, scoreboard: Scoreboard) -> None:
        self._due = self._looked_at = 0.0
        self._calls = calls
        self._scoreboard = scoreboard
        self._beaten_at: dict[int, float] = {}  #: by slot

    @property
    def due(self) -> float:
        """When to send them next (monotonic): at once if the server's clock was set forth: records have ended."""
        return 0.0 if self._calls.clock.set_forth_at > self._looked_at else self._due

    def run(self) -> None:
        """Send heartbeats for the consumers that need one."""
        now = monotonic()
        gone = self._calls.clock.set_forth_at > self._looked_at
        beats = [
            slot
            for slot in self._scoreboard.consumers
            if slot.pid and slot.worker_name and (gone or self._needs(slot, now))
        ]
        if beats:
            memory = {slot.worker_name.decode(): _memory_mb(slot) for slot in beats}
            # Consumers whose record is gone write it again with their next claim.
            heartbeat(self._calls, memory, memory)
            self._beaten_at |= {slot.index: now for slot in beats}
        self._looked_at, self._due = now, now + BUSY_HEARTBEAT_SECONDS

    def _needs(self, slot: Slot, now: float) -> bool:
        heard = max(slot.claimed_at, slot.spawned_at, self._beaten_at.get(slot.index, float("-inf")))
        return slot.busy or now - heard > SILENT_SECONDS


def _memory_mb(slot: Slot) -> int:
    return (with_forks_bytes(slot.pid, slot.forked_pids()) or 0) // 1_000_000
