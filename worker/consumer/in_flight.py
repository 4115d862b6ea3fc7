"""The claims in a consumer's hands: begun one after the other, given away when one of them takes long.

The consumer's main thread (or a thread of its crew) takes the next claim; the minder thread takes *all* that are left
when nothing has begun for longer than the patience. One lock decides who gets a claim; nobody ever has it twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Lock
from time import monotonic

from worker.engine.records import Claim


class Batch:
    """Claims that have not begun."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._waiting: deque[Claim] = deque()
        self.moved_at = 0.0  #: when (monotonic) claims last came or began

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self, claims: Iterable[Claim]) -> None:
        """Take in what was claimed; waits like `take`, or `take_all` could drop what comes while it empties."""
        with self.lock:
            self._waiting.extend(claims)
            self.moved_at = monotonic()

    def take(self) -> Claim | None:
        """Begin the next claim; waits while the minder is giving the rest away."""
        with self.lock:
            self.moved_at = monotonic()
            return self._waiting.popleft() if self._waiting else None

    def all(self) -> list[Claim]:
        """Return the claims that have not begun, without taking them."""
        return list(self._waiting)

    def take_all(self) -> list[Claim]:
        """Take every claim that has not begun. The caller holds the lock until it has released them."""
        claims = list(self._waiting)
        self._waiting.clear()
        return claims
