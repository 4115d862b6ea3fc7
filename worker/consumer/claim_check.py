"""The look for claims in a consumer's name that it does not hold, although no error has said that there may be any.

A reply gets lost without an error where something on the way to Redis repeats a command: the server claims twice, and
only the second claim arrives. The consumer lives, so nobody rescues what the first one took. One request shows it.
"""

from __future__ import annotations

from time import monotonic

from worker import logs
from worker.consumer.in_flight import InFlight
from worker.engine.claims import Claims

log = logs.get_logger()


class ClaimCheck:
    """The look of one consumer, `seconds` after a claim; it must not run while one is under way to the server."""

    def __init__(self, claims: Claims, in_flight: InFlight, seconds: float) -> None:
        self._claims = claims
        self._in_flight = in_flight
        self.seconds = seconds
        self._due = float("inf")

    @property
    def is_expected(self) -> bool:
        """Whether the server may have claimed something since the last look."""
        return self._due < float("inf")

    @property
    def due_in(self) -> float:
        """In how many seconds it is due; infinity when nothing can have been claimed since the last one."""
        return self._due - monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self._due <= monotonic()

    def expect(self) -> None:
        """Note that the server may have claimed something."""
        if self._due == float("inf"):
            self._due = monotonic() + self.seconds

    def run(self) -> None:
        """Release what the server holds in our name and we do not have; raises `RedisTrouble`."""
        self._due = float("inf")
        left = self._claims.recover("", self._in_flight.executions())
        if left.released:
            log.warning("claims.recovered", released=left.released, running=0)
