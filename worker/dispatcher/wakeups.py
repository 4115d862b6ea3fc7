"""When the dispatcher rings for its consumers, and what it makes of a ring that nobody answers.

A queue that has something rings; the consumer that takes the ring claims, and hails the dispatcher to watch again.
While no hail comes the queues are left alone for a moment that doubles: a suspended queue, or one for which nobody has
time, would otherwise be asked without a pause.

A consumer that is idle, and has not claimed since the first of a row of unanswered rings, is deaf. That stands on its
slot; the supervisor replaces it, with its stacks in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker.process.slot import Slot, State
from worker.process.wakeup import Bell

#: After a ring the queues are watched again when a consumer has claimed; should none, after this, which then doubles …
ANSWER_SECONDS: Final = 0.05
#: … up to this.
LONGEST_SECONDS: Final = 1.0


class Ringing:
    """The rings of one instance; `bell` is shared by `consumers`."""

    def __init__(self, bell: Bell, consumers: Sequence[Slot]) -> None:
        self._bell = bell
        self._consumers = consumers
        self._pause = ANSWER_SECONDS
        self._since = 0.0  #: the first of a row of rings that nobody has answered; 0 = none
        self.deaf_until = 0.0  #: until when the queues are not watched

    def ring(self) -> None:
        """Wake a consumer, because a queue has something."""
        now = monotonic()
        if self._since:
            self._bell.answer(4096)  # nobody has: rings do not pile up for consumers that are told to pause
        self._since = self._since or now
        self._bell.ring()
        self.deaf_until = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_SECONDS)
        for slot in self._consumers:
            idle = slot.pid and slot.state == State.WAITING and not slot.job_id
            heard = slot.claimed_at >= self._since or slot.spawned_at >= self._since
            slot.unanswered_since = self._since if idle and not heard else 0.0

    def answered(self) -> None:
        """Take in a hail: watch again, and forget the rings before."""
        self.deaf_until = 0.0
        self.quiet()

    def quiet(self) -> None:
        """Take in that no queue has anything."""
        if self._since:
            self._since = 0.0
            for slot in self._consumers:
                slot.unanswered_since = 0.0
        self._pause = ANSWER_SECONDS
