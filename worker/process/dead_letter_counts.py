"""How many dead letters there are, on the scoreboard: what the leader's last pass counted, for metrics.

The instance whose dispatcher makes the passes writes it. One that has seen changes since its own last pass, which
another one is to count, knows nothing and says nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Final

#: Kinds that are told apart; the rarest beyond these are counted together as queue and reason `other`.
MAX_KINDS: Final = 64
OTHER: Final = ("other", "other")
#: What was last known to be so longer ago says nothing any more; an instance that knows looks more often than that.
STALE_SECONDS: Final = 1200.0


class _Row(ctypes.Structure):
    _fields_ = (
        ("queue", ctypes.c_char * 64),
        ("reason", ctypes.c_char * 32),
        ("count", ctypes.c_uint64),
    )

    queue: bytes
    reason: bytes
    count: int


class DeadLetterCounts(ctypes.Structure):
    """A census of the dead letters. Texts are UTF-8, NUL-padded and cut to the field's size."""

    __slots__ = ()  # as `Slot`
    _fields_ = (
        ("counted_at", ctypes.c_double),  #: when it was last so (monotonic); 0 = never
        ("oldest_at", ctypes.c_double),  #: when the oldest failed, on the same clock; 0 = there is none
        ("used", ctypes.c_uint32),
        ("rows", _Row * MAX_KINDS),
    )

    counted_at: float
    oldest_at: float
    used: int
    rows: ctypes.Array[_Row]

    def write(self, kinds: Mapping[tuple[str, str], int], oldest_age: float | None, now: float) -> None:
        """Note a census: (queue, reason) → letters, and the age of the oldest in seconds, None if there is none."""
        ranked = sorted(((count, kind) for kind, count in kinds.items() if count > 0), reverse=True)
        told = [(kind, count) for count, kind in ranked]
        if len(told) > MAX_KINDS:
            rest = sum(count for _, count in told[MAX_KINDS - 1 :])
            told = [*told[: MAX_KINDS - 1], (OTHER, rest)]
        for row, ((queue, reason), count) in zip(self.rows, told, strict=False):
            row.queue, row.reason, row.count = queue.encode()[:64], reason.encode()[:32], count
        self.used = len(told)
        self.oldest_at = now - oldest_age if oldest_age is not None else 0.0
        self.counted_at = now

    def still(self, now: float) -> None:
        """Note that nothing has changed since the census."""
        if self.counted_at:
            self.counted_at = now

    def fresh(self, now: float) -> bool:
        """Whether this instance knows."""
        return bool(self.counted_at) and now - self.counted_at < STALE_SECONDS

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield queue, reason and number."""
        for row in self.rows[: self.used]:
            yield row.queue.decode(errors="replace"), row.reason.decode(errors="replace"), row.count
