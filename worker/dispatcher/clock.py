"""The chore that notices that the server's clock was set back or forth, and lets dates in Redis follow it.

Else jobs that were put off, intervals and the ends of pauses would come later by as much as the clock was set back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker import logs
from worker.redis import scripts
from worker.redis.calls import ScriptCalls

log = logs.get_logger()

#: The server is asked for its time when no reply has told it for this long.
LOOK_SECONDS: Final = 45.0


class ClockWatch:
    """Changes dates when the clock has stepped. With `asks` it asks for the time where no other chore hears it.

    `intervals` are the entries of the schedule that are intervals (`Entry.key`).
    """

    def __init__(self, calls: ScriptCalls, queues: Sequence[str], intervals: Sequence[str], *, asks: bool) -> None:
        self._calls = calls
        self._queues = queues
        self._intervals = intervals
        self._asks = asks

    @property
    def due(self) -> float:
        """When to ask, or at once after a step (monotonic)."""
        clock = self._calls.clock
        return 0.0 if clock.steps else clock.heard_at + LOOK_SECONDS if self._asks else math.inf

    def run(self) -> None:
        """Let dates follow the steps that were noticed; ask."""
        clock = self._calls.clock
        while clock.steps:
            step = clock.steps[0]
            names = [*self._queues, *self._intervals]
            moments = (repr(step.seconds), repr(step.heard))
            changed = self._calls.call(scripts.STEP, *moments, len(self._queues), *names)
            clock.steps.popleft()
            clock.stepped_at = monotonic()  # whoever has looked meanwhile looks again
            log.info("redis.dates_stepped", seconds=round(step.seconds, 1), dates=changed)
        if not self._asks:
            return
        asked_at = monotonic()
        seconds, micros = self._calls.redis.time()
        clock.hear(int(seconds) + int(micros) / 1e6, asked_at)


def report(step: float) -> None:
    """Log that the server's clock has stepped, and what follows."""
    log.warning(
        "redis.clock_stepped",
        seconds=round(step, 1),
        follows="The schedule and all leases follow the server's new time. "
        + (
            "No worker is taken for dead until all had the time to report."
            if step > 0
            else "What was put off before comes when it would have come."
        ),
    )
