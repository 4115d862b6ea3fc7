"""The chore that keeps the consumers of this instance, and their claims, alive in Redis."""

from __future__ import annotations

import os
from time import monotonic
from typing import Final

from worker.claims import BUSY_TTL_SECONDS, Claims
from worker.scoreboard import Scoreboard

#: Busy consumers are kept alive this often: three times within the life that a claim gives them.
BUSY_HEARTBEAT_SECONDS: Final = BUSY_TTL_SECONDS / 3


class Heartbeats:
    """Keeps the consumers of this instance that may hold claims alive in Redis, and their claims with them.

    Idle ones have nothing to lose, and on a Redis that bills by the command silence is cheap: their own look at the
    queues, every `seat.SAFETY_POLL_SECONDS`, prolongs their record by IDLE_TTL_SECONDS, which is longer.
    """

    def __init__(self, claims: Claims, scoreboard: Scoreboard) -> None:
        self.due = 0.0
        self._claims = claims
        self._scoreboard = scoreboard

    def run(self) -> None:
        """Beat for those that are not idle; for all while the instance is quiet, because then nobody looks."""
        quiet = self._scoreboard.header.quiet
        beats = {
            slot.worker_name.decode(): resident_mb(slot.pid)
            for slot in self._scoreboard.consumers
            if slot.pid and slot.worker_name and (slot.busy or quiet)
        }
        if beats:
            # Consumers whose record is gone write it again with their next claim.
            self._claims.heartbeat(beats, beats)
        self.due = monotonic() + BUSY_HEARTBEAT_SECONDS


def resident_mb(pid: int) -> int:
    """Return a process's resident memory in MB; 0 when it is gone, or the system has no /proc."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
    except OSError:
        return 0
