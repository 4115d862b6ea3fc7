"""The chore that keeps the consumers of this instance, and their claims, alive in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker.claims import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, Claims
from worker.scoreboard import Slot, State

#: Busy consumers are kept alive this often: three times within the life that a claim gives them.
BUSY_HEARTBEAT_SECONDS: Final = BUSY_TTL_SECONDS / 3
#: Idle consumers have nothing to lose, and on a Redis that bills by the command silence is cheap.
IDLE_HEARTBEAT_SECONDS: Final = IDLE_TTL_SECONDS / 2


class Heartbeats:
    """Keeps the consumers of this instance, and their claims, alive in Redis."""

    def __init__(self, claims: Claims, consumers: Sequence[Slot]) -> None:
        self.due = 0.0
        self._claims = claims
        self._consumers = consumers
        self._idle_due = 0.0

    def run(self) -> None:
        """Beat for those that may hold claims each time, for the idle ones rarely."""
        now = monotonic()
        idle_due = now >= self._idle_due
        beats = [
            slot.worker_name.decode()
            for slot in self._consumers
            if slot.pid and slot.worker_name and (idle_due or slot.state != State.WAITING)
        ]
        if beats:
            # Consumers whose record is gone write it again with their next claim.
            self._claims.heartbeat(beats)
        if idle_due:
            self._idle_due = now + IDLE_HEARTBEAT_SECONDS
        self.due = now + BUSY_HEARTBEAT_SECONDS
