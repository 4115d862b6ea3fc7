"""A service without probes probes itself: when its own /healthz has failed for too long, it ends.

Render neither probes a background worker nor sends it traffic; it only notices that the process has ended, and then
starts another. So the health child, whose loop turns when others are stuck, asks the supervisor for a soft stop with
the code `Exit.UNHEALTHY`. If the supervisor does not react, the health child kills it, and all children die with it.

``verdict.py`` decides when /healthz fails: a loop is stuck or missing, or Redis was never reached since the start.
An outage after that is no reason to end, because a restart would not help.
"""

from __future__ import annotations

import contextlib
import os
import signal
from time import monotonic
from typing import Final

from worker import logs
from worker.exits import Exit
from worker.health import verdict
from worker.process.scoreboard import Scoreboard

log = logs.get_logger()

#: Seconds between two probes.
PROBE_SECONDS: Final = 1.0
#: A longer gap between two probes means that the whole container was paused: earlier failures do not count.
PAUSED_SECONDS: Final = 30.0
#: How long the supervisor may take beyond the grace before it counts as stuck.
END_SECONDS: Final = 15.0


class SelfProbe:
    """Probes one instance. It may fail for `limit` seconds in a row; running jobs then get `grace` seconds."""

    def __init__(self, board: Scoreboard, limit: float, grace: float) -> None:
        self._board = board
        self._limit = limit
        self._grace = grace
        self._probed_at = 0.0
        self._failing_since: float | None = None
        self._kill_at: float | None = None

    def turn(self) -> None:
        """Probe when it is time to; ask for the end, or enforce it."""
        now = monotonic()
        if now - self._probed_at < PROBE_SECONDS:
            return
        paused = now - self._probed_at > PAUSED_SECONDS
        self._probed_at = now
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill()
            return
        answer = verdict.healthy(self._board, now)
        if answer.passed or paused:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self._limit:
            self._ask_for_the_end(answer.reason, now)

    def _ask_for_the_end(self, reason: str, now: float) -> None:
        log.critical("service.unhealthy", reason=reason, limit=self._limit, code=int(Exit.UNHEALTHY))
        self._kill_at = now + self._grace + END_SECONDS
        self._board.header.fate = Exit.UNHEALTHY
        self._signal(signal.SIGTERM)

    def _kill(self) -> None:
        log.critical("service.supervisor_killed", reason="it did not stop when it was asked to")
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._board.header.supervisor_pid, number)
