"""Whether the server still answers, and whether the consumer that blocks in a claim still hears it.

A server can stand still, and a connection can be dead without either end noticing: after a silence the dispatcher asks.
Where consumers block in claims of their own (``consumer/claim_ahead.py``) the dispatcher wakes nobody, so it cannot see
from unanswered wake-ups that a consumer is deaf. It looks at the queue instead: the server answers a blocked claim
before anybody else can see the job, so a job that stays on the queue shows that the claim is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker.keys import Keys
from worker.process.slot import Slot
from worker.redis.calls import ScriptCalls

#: When nothing has been heard from the server for so long, it is asked: with the read timeout of 5 s silence is noticed
#: within 15 s. Where the scheduler looks a little more rarely (every 15 s on Upstash, which bills by the command), its
#: look is the sign of life, and silence is noticed within 20 s.
SILENCE_SECONDS: Final = 9.5
LONGEST_SILENCE_SECONDS: Final = 15.5
#: How often the dispatcher looks at a queue on which consumers block.
LOOK_SECONDS: Final = 60.0
#: Both where the scheduler is off: what nobody needs is not asked, and idling costs less than 100 commands an hour. A
#: dead connection is found by TCP all the same; only a server that stands still goes unnoticed for as long.
THRIFTY_SECONDS: Final = 300.0


class Keepalive:
    """The keepalive of one instance. `blocked_on` is the queue on which consumers block; None where none does."""

    def __init__(
        self, calls: ScriptCalls, consumers: Sequence[Slot], *, interval: float, blocked_on: str | None
    ) -> None:
        self._calls = calls
        self._consumers = consumers
        self._silence, self._look_seconds = THRIFTY_SECONDS, THRIFTY_SECONDS
        if interval:
            self._silence = min(max(SILENCE_SECONDS, interval + 0.5), LONGEST_SILENCE_SECONDS)
            self._look_seconds = LOOK_SECONDS
        self._blocked_on = blocked_on
        self._look_due = 0.0

    @property
    def due(self) -> float:
        """When `run` has something to do (monotonic), if the server is not heard until then."""
        silent = self._calls.heard_at + self._silence
        return silent if self._blocked_on is None else min(silent, self._look_due)

    def run(self) -> None:
        """Ask if it is time; raises redis-py's errors."""
        now = monotonic()
        if self._blocked_on is not None and now >= self._look_due:
            self._look(self._blocked_on, now)
            self._look_due = now + self._look_seconds
        elif now - self._calls.heard_at >= self._silence:
            self._calls.redis.ping()
        else:
            return
        self._calls.heard_at = monotonic()

    def _look(self, queue: str, now: float) -> None:
        waiting = self._calls.redis.llen(Keys(self._calls.prefix).queue(queue))
        for slot in self._consumers:
            if not waiting or not slot.blocking_since:
                slot.unanswered_since = 0.0
            elif slot.unanswered_since <= slot.blocking_since:  # this claim's first look that found a job
                slot.unanswered_since = now
