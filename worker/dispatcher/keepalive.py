"""Whether the server still answers, and whether the consumer that blocks in a claim still hears it.

A server can stand still, and a connection can be dead without either end noticing: after a silence the dispatcher asks.
Where consumers block in claims of their own (``consumer/claim_ahead.py``) the dispatcher wakes nobody, so it cannot see
from unanswered wake-ups that a consumer is deaf. It looks at the queue instead: the server answers a blocked claim
before anybody else can see the job, so a job that stays on the queue shows that the claim is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from worker.keys import Keys
from worker.process.slot import Slot
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble
from worker.settings.pace import Pace


class Keepalive:
    """The keepalive of one instance. `blocked_on` is the queue on which consumers block; None where none does."""

    def __init__(self, calls: ScriptCalls, consumers: Sequence[Slot], *, pace: Pace, blocked_on: str | None) -> None:
        self._calls = calls
        self._consumers = consumers
        self._pace = pace
        self._blocked_on = blocked_on
        self._look_due = 0.0

    @property
    def due(self) -> float:
        """When `run` has something to do (monotonic), if the server is not heard until then."""
        silent = self._calls.heard_at + self._pace.silence
        return silent if self._blocked_on is None else min(silent, self._look_due)

    def run(self) -> None:
        """Ask if it is time; raises redis-py's errors."""
        now = monotonic()
        if self._blocked_on is not None and now >= self._look_due:
            self._look(self._blocked_on, now)
            self._look_due = now + self._pace.queue_look
        elif now - self._calls.heard_at >= self._pace.silence:
            self._calls.redis.ping()
        else:
            return
        self._calls.heard_at = monotonic()

    def _look(self, queue: str, now: float) -> None:
        try:
            waiting = self._calls.redis.llen(Keys(self._calls.prefix).queue(queue))
        except RedisTrouble as reason:
            if reason.code != "wrong_type":
                raise
            waiting = 0  # the consumers name it
        for slot in self._consumers:
            if not waiting or not slot.blocking_since:
                slot.unanswered_since = 0.0
            elif slot.unanswered_since <= slot.blocking_since:  # this claim's first look that found a job
                slot.unanswered_since = now
