"""When the dispatcher wakes its consumers, and what it concludes from wake-ups that nobody answers.

The dispatcher wakes one consumer when the doorbell of a queue rings. That consumer claims and wakes the dispatcher,
which then arms the doorbell again. Without an answer the doorbell rests for a pause that doubles: a queue that is
suspended, or for which no consumer has time, would otherwise ring without end.

A consumer that is idle and has not claimed since the first of several unanswered wake-ups is deaf. Its slot says so,
and the supervisor replaces it, with its stacks in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker.process.slot import Slot, State
from worker.process.wakeup import Wakeup

#: Pause of the doorbell after a wake-up that no consumer answers; it doubles …
ANSWER_SECONDS: Final = 0.05
#: … up to this.
LONGEST_SECONDS: Final = 1.0


class Wakeups:
    """The wake-ups of one instance; `wake_consumers` is shared by `consumers`."""

    def __init__(self, wake_consumers: Wakeup, consumers: Sequence[Slot]) -> None:
        self._wake_consumers = wake_consumers
        self._consumers = consumers
        self._pause = ANSWER_SECONDS
        self._since = 0.0  #: the first of several unanswered wake-ups; 0 = none
        self.paused_until = 0.0  #: until when the doorbell is not armed

    def wake(self) -> None:
        """Wake a consumer, because a queue has something."""
        now = monotonic()
        if self._since:
            self._wake_consumers.take(4096)  # unread ones: they must not pile up for consumers that pause
        self._since = self._since or now
        self._wake_consumers.send()
        self.paused_until = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_SECONDS)
        for slot in self._consumers:
            idle = slot.pid and slot.state == State.WAITING and not slot.job_id
            heard = slot.claimed_at >= self._since or slot.spawned_at >= self._since
            slot.unanswered_since = self._since if idle and not heard else 0.0

    def answered(self) -> None:
        """Note that a consumer has claimed or waits: end the pause, and forget the wake-ups before."""
        self.paused_until = 0.0
        self.nothing_waits()

    def nothing_waits(self) -> None:
        """Note that every queue is empty."""
        if self._since:
            self._since = 0.0
            for slot in self._consumers:
                slot.unanswered_since = 0.0
        self._pause = ANSWER_SECONDS
