"""The chore that looks for claims of dead workers, of any instance (``engine/rescue.py``)."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from worker.engine.leases import BUSY_TTL_SECONDS
from worker.engine.rescue import Rescuer

#: How often we look for orphans. With BUSY_TTL_SECONDS this bounds how long a dead instance's jobs stay away: 40 s.
RESCUE_SECONDS: Final = 10.0
#: The same while no worker holds claims, should a wake-up ever get lost.
IDLE_RESCUE_SECONDS: Final = 600.0
#: An instance takes no worker for dead before it has been connected for this long: after an outage all heartbeats are
#: late, and the others need the time to send theirs. The same goes for a server's clock that was set forth.
RESCUE_HOLD_OFF_SECONDS: Final = float(BUSY_TTL_SECONDS)


class RescueChore:
    """The chore that looks for what dead workers of any instance left behind.

    It costs no commands while no worker can have left anything. A claim needs a push, and every instance that waits
    for jobs notices a push: its doorbell rings (`wake`), or the blocking claim of one of its consumers is answered
    (`claimed` returns when that was last, monotonic). So the look can be skipped if this instance was waiting before
    the last look (`calm`: every queue watched, all consumers idle), that look found no claims, and nothing was pushed
    since: then there are no claims.
    """

    def __init__(
        self,
        rescuer: Rescuer,
        connected_since: float,
        calm: Callable[[], bool],
        claimed: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._due = self._not_before = connected_since + RESCUE_HOLD_OFF_SECONDS
        self._looked_at = self._stirred_at = 0.0
        self._rescuer = rescuer
        self._calm = calm
        self._claimed = claimed

    @property
    def due(self) -> float:
        """When to look next: soon after something was pushed or claimed."""
        stirred, clock = max(self._stirred_at, self._claimed()), self._rescuer.clock
        not_before = max(self._not_before, clock.set_forth_at + RESCUE_HOLD_OFF_SECONDS)
        if self._looked_at < clock.stepped_at:
            return not_before
        if stirred <= self._looked_at:
            return self._due
        return min(self._due, max(not_before, stirred + RESCUE_SECONDS))

    def run(self) -> None:
        """Rescue everybody's orphans; come back soon while anybody holds claims."""
        calm = self._calm()  # before the look, which does not see what is pushed after it
        self._looked_at = monotonic()
        self._rescuer.rescue_orphans()
        self._due = self._looked_at + (IDLE_RESCUE_SECONDS if calm and not self._rescuer.living else RESCUE_SECONDS)

    def wake(self) -> None:
        """Look soon: a queue has something, so somebody may hold a claim from now on."""
        self._stirred_at = monotonic()
