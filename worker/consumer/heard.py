"""A consumer's wait until somebody hears RQ's commands to it.

They come over pub/sub, which keeps nothing: a stop-job for a job that began before anybody listened would be lost. So
nothing is claimed meanwhile; but only for moments, because jobs matter more than orders about them.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from worker.consumer.supervision import Supervision

#: How long a consumer waits at most, once, until commands are heard again.
PATIENCE_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.005


class Heard:
    """The wait of one consumer."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._patient = True

    @property
    def worth_waiting(self) -> bool:
        """Whether nobody hears commands and `wait` would wait."""
        return self._patient and not self._supervision.commands_heard

    def wait(self, *, anew: bool = False) -> None:
        """Wait, unless it was in vain last time; `anew` after trouble with Redis, which is over now."""
        self._patient = self._patient or anew or self._supervision.commands_heard
        if not self.worth_waiting:
            return
        self._supervision.ask_for_commands()
        until = monotonic() + PATIENCE_SECONDS
        child = self._supervision.child
        while not child.stopping and not self._supervision.commands_heard and monotonic() < until:
            child.wait(LOOK_SECONDS)
        self._patient = self._supervision.commands_heard
