"""How many dead letters there are, on the scoreboard: what the leader's last pass counted, for metrics.

The dispatcher that makes the passes writes it. An instance that sees changes which another one counts no longer
confirms its own counts: they go stale and are not exported.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Final

#: Kinds with a count of their own; the rarest beyond these are counted together as queue and reason `other`.
MAX_KINDS: Final = 64
OTHER: Final = ("other", "other")
#: Counts that were confirmed longer ago are not exported; an instance with current ones looks more often than that.
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
        ("counted_at", ctypes.c_double),  #: when this was last confirmed (monotonic); 0 = never
        ("oldest_at", ctypes.c_double),  #: when the oldest failed, on the same clock; 0 = there is none
        ("used", ctypes.c_uint32),
        ("rows", _Row * MAX_KINDS),
    )

    counted_at: float
    oldest_at: float
    used: int
    rows: ctypes.Array[_Row]

    def write(self, kinds: Mapping[tuple[str, str], int], oldest_age: float | None, now: float) -> None:
        """Write a census: (queue, reason) → letters, and the age of the oldest in seconds, None if there is none."""
        ranked = sorted(((count, kind) for kind, count in kinds.items() if count > 0), reverse=True)
        shown = [(kind, count) for count, kind in ranked]
        if len(shown) > MAX_KINDS:
            rest = sum(count for _, count in shown[MAX_KINDS - 1 :])
            shown = [*shown[: MAX_KINDS - 1], (OTHER, rest)]
        for row, ((queue, reason), count) in zip(self.rows, shown, strict=False):
            row.queue, row.reason, row.count = queue.encode()[:64], reason.encode()[:32], count
        self.used = len(shown)
        self.oldest_at = now - oldest_age if oldest_age is not None else 0.0
        self.counted_at = now

    def confirm(self, now: float) -> None:
        """Confirm the census: nothing has changed since."""
        if self.counted_at:
            self.counted_at = now

    def fresh(self, now: float) -> bool:
        """Whether the counts are current."""
        return bool(self.counted_at) and now - self.counted_at < STALE_SECONDS

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Yield queue, reason and number of letters."""
        for row in self.rows[: self.used]:
            yield row.queue.decode(errors="replace"), row.reason.decode(errors="replace"), row.count
