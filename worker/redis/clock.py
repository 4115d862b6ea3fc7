"""The server's clock, as replies tell it: what one machine compares with times that others have written.

Between two replies this machine's monotonic clock goes on counting. So a wall clock of ours that is wrong harms
nothing, and one of the server's that was set back or forth (by a person, or by a failover to a machine whose clock is
off) is noticed with the next reply.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

#: A difference that no drift and no slow answer explains: the server's clock has stepped.
STEP_SECONDS: Final = 5.0
#: Steps that are remembered until somebody has dealt with them.
_MOST_STEPS: Final = 16


class Step(NamedTuple):
    """One step of the server's clock."""

    seconds: float  #: by how much; negative = back
    heard: float  #: the server's time by the old clock, when it was last heard (Unix seconds)


class ServerClock:
    """The clock of one server; until the first reply it is this machine's own.

    `on_step` is called with the seconds by which the server's clock has stepped (negative = back).
    """

    def __init__(self) -> None:
        self.on_step: Callable[[float], None] = lambda _seconds: None
        self.stepped_at = float("-inf")  #: when a step was last noticed (monotonic)
        self.set_forth_at = float("-inf")  #: the same of a step forth, which ends the lives of keys
        self.heard_at = float("-inf")  #: when the server last told the time (monotonic)
        self.steps: deque[Step] = deque(maxlen=_MOST_STEPS)  #: those that dates in Redis have not followed yet
        self._moment = 0.0
        self._asked_at = 0.0

    def hear(self, moment: float, asked_at: float) -> None:
        """Take in the server's time, Unix seconds, from a reply to what was asked at `asked_at` (monotonic)."""
        now, known = time.monotonic(), self.heard_at > 0
        earliest = self._moment + asked_at - self.heard_at
        latest = self._moment + now - self._asked_at
        heard = self._moment
        self._moment, self._asked_at, self.heard_at = moment, asked_at, now
        step = max(0.0, moment - latest) + min(0.0, moment - earliest) if known else 0.0
        if abs(step) > STEP_SECONDS:
            self.stepped_at = now
            self.set_forth_at = now if step > 0 else self.set_forth_at
            self.steps.append(Step(step, heard))
            self.on_step(step)

    def now(self) -> float:
        """Return the server's time (Unix seconds)."""
        return self._moment + time.monotonic() - self.heard_at if self.heard_at > 0 else time.time()

    def today(self) -> datetime:
        """Return the server's time as RQ's `now` does."""
        return datetime.fromtimestamp(self.now(), UTC)

    def latest(self) -> float:
        """Return the latest time that the server's clock can show now unless it has stepped; infinity if unknown."""
        if self.heard_at <= 0:
            return float("inf")
        return self._moment + time.monotonic() - self._asked_at + STEP_SECONDS
