"""When a child that died may come again: at once, or later and later while it keeps dying young."""

from __future__ import annotations

from typing import Final

from worker import backoff
from worker.process.slot import Slot

#: A child that dies younger than this is respawned with backoff.
YOUNG_SECONDS: Final = 10.0
#: The service ends when this many children in a row die while booting.
BOOT_ATTEMPTS: Final = 5
#: The longest wait for a successor, and the first wait, which doubles up to it.
RESPAWN_CAP_SECONDS: Final = 30.0
_RESPAWN_BASE_SECONDS: Final = 0.25


class Respawn:
    """Remembers how the children of each slot died; moments are of the monotonic clock."""

    def __init__(self) -> None:
        self._young_deaths: dict[tuple[int, int], int] = {}  #: by slot: deaths in a row
        self._due: dict[tuple[int, int], float] = {}  #: by slot: when its next child may come
        self._failed_boots = 0  #: in a row, of all slots

    @property
    def hopeless(self) -> bool:
        """Whether children die while booting, again and again."""
        return self._failed_boots >= BOOT_ATTEMPTS

    def note_end(self, slot: Slot) -> None:
        """Note that a child ended as it should."""
        self._young_deaths[_key(slot)] = 0

    def note_death(self, slot: Slot, now: float, *, lived: float, booted: bool) -> None:
        """Note that a child died after `lived` seconds, and choose from when on a successor may come."""
        self._failed_boots = 0 if booted else self._failed_boots + 1
        deaths = self._young_deaths.get(_key(slot), 0) + 1 if lived < YOUNG_SECONDS else 1
        self._young_deaths[_key(slot)] = deaths
        wait = backoff.full_jitter(deaths - 1, base=_RESPAWN_BASE_SECONDS, cap=RESPAWN_CAP_SECONDS) if deaths > 1 else 0
        self._due[_key(slot)] = now + wait

    def due(self, slot: Slot) -> float:
        """Return from when on the slot may have a child."""
        return self._due.get(_key(slot), 0.0)

    def next_due(self, after: float) -> float:
        """Return the first moment after `after` at which a successor may come; infinity when there is none."""
        return min((when for when in self._due.values() if when > after), default=float("inf"))


def _key(slot: Slot) -> tuple[int, int]:
    return slot.role, slot.index
