"""The chore that looks for claims of dead workers, of any instance (``engine/rescue.py``)."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from worker.engine.leases import BUSY_TTL_SECONDS
from worker.engine.rescue import Rescuer

#: How often orphans are looked for. With BUSY_TTL_SECONDS it bounds how long a dead instance's jobs stay away: 40 s.
RESCUE_SECONDS: Final = 10.0


#: The same while nobody holds claims, should a wake-up ever get lost.
IDLE_RESCUE_SECONDS: Final = 600.0


#: Nobody is taken for dead before this instance itself has been connected so long: after an outage everybody's
#: heartbeats are late, and the others need the time to send theirs.
RESCUE_HOLD_OFF_SECONDS: Final = float(BUSY_TTL_SECONDS)


class RescueChore:
    """The chore that looks for what dead workers of any instance left behind.

    It costs nothing while nobody can leave anything behind. Claims begin with a push, of which every instance hears
    that waits for jobs: by its doorbell (`wake`), or because its own claim that stood ready was answered (`claimed`:
    when that was last, monotonic). Where somebody waited before the last look, that look found no claim and nothing
    stirred since, there is none. `calm` says whether this instance waits and none of its consumers works.
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
        """When to look next: soon after something stirred."""
        stirred = max(self._stirred_at, self._claimed())
        if stirred <= self._looked_at:
            return self._due
        return min(self._due, max(self._not_before, stirred + RESCUE_SECONDS))

    def run(self) -> None:
        """Rescue everybody's orphans; come back soon while anybody holds claims."""
        calm = self._calm()  # first: what stirs after this is not seen by the look
        self._looked_at = monotonic()
        self._rescuer.rescue_orphans()
        self._due = self._looked_at + (IDLE_RESCUE_SECONDS if calm and not self._rescuer.living else RESCUE_SECONDS)

    def wake(self) -> None:
        """Look soon: a queue has something, so somebody may hold a claim from now on."""
        self._stirred_at = monotonic()
