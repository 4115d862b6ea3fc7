"""What was read last, for as long as it is fresh, and for as long as Redis is away.

Twenty browsers that show one page cost one reading: the first that comes after it has grown old reads, the others get
what there is meanwhile. Nothing is read while nobody looks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from worker.redis.trouble import RedisTrouble

T = TypeVar("T")

#: Readings that are kept, the newest ones; a reading is bounded by whoever reads it.
MOST_KEPT: Final = 24
#: After Redis has failed, nothing is asked for so long: a page must not wait for a timeout each time.
REST_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """What was read `age` seconds ago. With a `trouble`, which is a sentence, that is why it is no newer.

    `value` is None when it was never read; then there is a trouble.
    """

    value: T | None
    age: float
    trouble: str = ""


class Shelf:
    """Keeps readings by their keys."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._rest_until = float("-inf")
        self._trouble = ""

    def look(self, key: Hashable, read: Callable[[], T], *, fresh: float) -> Seen[T]:
        """Return what `read` has returned within the last `fresh` seconds, or returns now, or has returned last.

        Only `RedisTrouble` of `read` is a reason for something old; a `read` that raises it has cost its time.
        """
        place = self._place(key)
        if self._needs_reading(place, fresh) and place.lock.acquire(blocking=place.read_at is None):
            try:
                if self._needs_reading(place, fresh):  # somebody else may have read it meanwhile
                    self._read(place, read)
            finally:
                place.lock.release()
        if place.read_at is None:
            return Seen(None, 0.0, self._trouble)
        return Seen(place.value, self._clock() - place.read_at, place.trouble or self._rest())

    def known(self, key: Hashable) -> Any:
        """Return what was read last, or None; reads nothing."""
        with self._lock:
            place = self._places.get(key)
        return None if place is None else place.value

    def forget(self) -> None:
        """Read everything anew at the next look, because somebody has changed something."""
        with self._lock:
            for place in self._places.values():
                place.stale = True

    def _place(self, key: Hashable) -> _Place:
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            while len(self._places) > MOST_KEPT:
                self._places.popitem(last=False)
            return place

    def _needs_reading(self, place: _Place, fresh: float) -> bool:
        if self._clock() < self._rest_until:
            return False
        return place.read_at is None or place.stale or self._clock() - place.read_at >= fresh

    def _read(self, place: _Place, read: Callable[[], Any]) -> None:
        place.stale = False
        try:
            place.value = read()
        except RedisTrouble as trouble:
            place.trouble = self._trouble = str(trouble.trouble.sentence) + f" {trouble.trouble.fix}"
            if not trouble.refuses_this:
                self._rest_until = self._clock() + REST_SECONDS
            return
        place.read_at, place.trouble = self._clock(), ""

    def _rest(self) -> str:
        return self._trouble if self._clock() < self._rest_until else ""


class _Place:
    __slots__ = ("lock", "read_at", "stale", "trouble", "value")

    def __init__(self) -> None:
        self.lock = Lock()
        self.value: Any = None
        self.read_at: float | None = None
        self.stale = False
        self.trouble = ""
