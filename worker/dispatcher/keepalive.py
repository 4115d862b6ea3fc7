"""Signs of life that the dispatcher asks for when nothing else is asked, and whether the consumers' watch still hears.

A server can be there and say nothing, a connection can be dead without knowing. And where consumers keep the watch
themselves (``watch.py``) nobody rings for them: a look at the queue tells whether the one that watches it is deaf,
because a watch that stands is answered before anybody can see a job on the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker.process.slot import Slot
from worker.redis.calls import ScriptCalls

#: When nothing has been heard from the server for so long, it is asked: with the read timeout of 5 s silence is noticed
#: within 15 s. Where the scheduler looks a little more rarely (every 15 s on Upstash, which bills by the command), its
#: look is the sign of life, and silence is noticed within 20 s.
SILENCE_SECONDS: Final = 9.5
LONGEST_SILENCE_SECONDS: Final = 15.5
#: How often the queue is looked at that consumers watch.
LOOK_SECONDS: Final = 60.0
#: Both where the scheduler is off: what nobody needs is not asked, and idling costs less than 100 commands an hour. A
#: dead connection is found by TCP all the same; only a server that stands still goes unnoticed for as long.
THRIFTY_SECONDS: Final = 300.0


class Pulse:
    """The pulse of one instance; `watched` is the queue that its consumers watch themselves, if they do."""

    def __init__(self, calls: ScriptCalls, consumers: Sequence[Slot], *, interval: float, watched: str | None) -> None:
        self._calls = calls
        self._consumers = consumers
        self._silence, self._look_seconds = THRIFTY_SECONDS, THRIFTY_SECONDS
        if interval:
            self._silence = min(max(SILENCE_SECONDS, interval + 0.5), LONGEST_SILENCE_SECONDS)
            self._look_seconds = LOOK_SECONDS
        self._watched = watched
        self._look_due = 0.0

    @property
    def due(self) -> float:
        """When `run` has something to do (monotonic), if nothing is heard until then."""
        silent = self._calls.heard_at + self._silence
        return silent if self._watched is None else min(silent, self._look_due)

    def run(self) -> None:
        """Ask if it is time; raises redis-py's errors."""
        now = monotonic()
        if self._watched is not None and now >= self._look_due:
            self._look(self._watched, now)
            self._look_due = now + self._look_seconds
        elif now - self._calls.heard_at >= self._silence:
            self._calls.redis.ping()
        else:
            return
        self._calls.heard_at = monotonic()

    def _look(self, queue: str, now: float) -> None:
        waiting = self._calls.redis.llen(f"{self._calls.prefix}:queue:{queue}")
        for slot in self._consumers:
            if not waiting or not slot.watch_since:
                slot.unanswered_since = 0.0
            elif slot.unanswered_since <= slot.watch_since:  # the first look of this watch that found something
                slot.unanswered_since = now
