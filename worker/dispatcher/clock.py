"""The chore that notices that the server's clock was set back or forth: other times than ours then say what is due."""

from __future__ import annotations

from time import monotonic
from typing import Final

from worker import logs
from worker.redis.calls import ScriptCalls

log = logs.get_logger()

#: The server is asked for its time when no reply has told it for this long.
LOOK_SECONDS: Final = 45.0


class ClockWatch:
    """Asks for the server's time where no other chore hears it. `ScriptCalls.clock` compares."""

    def __init__(self, calls: ScriptCalls) -> None:
        self._calls = calls

    @property
    def due(self) -> float:
        """When to ask (monotonic)."""
        return self._calls.clock.heard_at + LOOK_SECONDS

    def run(self) -> None:
        """Ask."""
        asked_at = monotonic()
        seconds, micros = self._calls.redis.time()
        self._calls.clock.hear(int(seconds) + int(micros) / 1e6, asked_at)


def report(step: float) -> None:
    """Log that the server's clock has stepped, and what follows."""
    log.warning(
        "redis.clock_stepped",
        seconds=round(step, 1),
        follows="The schedule and all leases follow the server's new time. "
        + (
            "No worker is taken for dead until all had the time to report."
            if step > 0
            else "Jobs that were scheduled before come later by as much."
        ),
    )
