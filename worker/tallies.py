"""What functions have done within some time, as numbers that can be added: counts, and histograms of run and wait.

Consumers count (``consumer/tally.py``), ``redis/scripts/tally.lua`` adds what they send to records of a minute and of
ten minutes, ``engine/past.py`` reads those. Here are the histogram and its text, the same for all of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

#: Each bucket of a histogram ends half as far again as the one before it: under 1 ms, to 1.5 ms, 2.25 ms, … over 1 h.
RATIO: Final = 1.5
FIRST_SECONDS: Final = 0.001
#: The number of the bucket in which everything is that takes longer than an hour.
LAST: Final = 39
#: Functions in one record; what the others did is under this name, which is none of a function.
MOST_FUNCTIONS: Final = 100
OTHER: Final = "(other)"

#: The shares that are shown.
SHARES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
#: Where each bucket but the last one ends, in seconds.
ENDS: Final = tuple(FIRST_SECONDS * RATIO**number for number in range(LAST))
_PART: Final = re.compile(r"([pfbrw])(\d*)=(\d+)")


def bucket(seconds: float) -> int:
    """Return the number of the bucket in which a time is."""
    return bisect_right(ENDS, seconds)


@dataclass(slots=True)
class Tally:
    """What one function has done: runs that have ended, those that failed, dead letters, and how long it all took.

    `run` and `wait` are histograms: bucket → how many. A run's wait is from its enqueuing, or the moment at which it
    was due, to its beginning.
    """

    processed: int = 0
    failed: int = 0
    buried: int = 0
    run: dict[int, int] = field(default_factory=dict)
    wait: dict[int, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add what another one has counted."""
        self.processed += other.processed
        self.failed += other.failed
        self.buried += other.buried
        for own, more in ((self.run, other.run), (self.wait, other.wait)):
            for number, count in more.items():
                own[number] = own.get(number, 0) + count

    def text(self) -> str:
        """Return it as Redis holds it: ``p=3 f=1 r7=3 w0=2``."""
        counts = (("p", self.processed), ("f", self.failed), ("b", self.buried))
        parts = [f"{name}={count}" for name, count in counts if count]
        for name, histogram in (("r", self.run), ("w", self.wait)):
            parts += [f"{name}{number}={count}" for number, count in sorted(histogram.items())]
        return " ".join(parts)

    @classmethod
    def read(cls, text: str) -> Tally:
        """Read what Redis holds; what is no part of it is left out."""
        made = cls()
        for name, number, count in _PART.findall(text[:4000]):
            if name in "rw":
                histogram = made.run if name == "r" else made.wait
                if number and int(number) <= LAST:
                    histogram[int(number)] = histogram.get(int(number), 0) + int(count)
            elif name == "p":
                made.processed += int(count)
            elif name == "f":
                made.failed += int(count)
            else:
                made.buried += int(count)
        return made


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum."""
    whole = Tally()
    for one in tallies:
        whole.add(one)
    return whole


def quantile(histogram: dict[int, int], share: float) -> float | None:
    """Return the time (seconds) that `share` of all took no longer than, e.g. 0.95; None of an empty histogram.

    Within a bucket times are taken to be spread evenly, so it is wrong by a quarter at most.
    """
    count = sum(histogram.values())
    if not count:
        return None
    left = share * count
    for number in sorted(histogram):
        held = histogram[number]
        if left <= held:
            if number >= LAST:
                break
            low = ENDS[number - 1] if number else 0.0
            return low + (ENDS[number] - low) * left / held
        left -= held
    return ENDS[-1]
