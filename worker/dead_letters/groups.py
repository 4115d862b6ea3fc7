"""Dead letters by the kind of failure. Reading changes nothing and unpickles nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.dead_letters.letter import DeadLetter


@dataclass(slots=True)
class Group:
    """The letters of one fingerprint, or of one reason where there is none; `newest` is the first that was seen."""

    newest: DeadLetter
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    oldest_moment: float = 0.0
    newest_moment: float = 0.0

    def add(self, letter: DeadLetter) -> None:
        """Count a letter."""
        moment = letter.moment
        self.oldest_moment = min(self.oldest_moment, moment) if self.count else moment
        self.newest_moment = max(self.newest_moment, moment)
        self.count += 1
        self.reasons[letter.reason] += 1
        self.queues[letter.origin] += 1


def group(letters: Iterable[DeadLetter]) -> list[Group]:
    """Group letters, the largest group first; `letters` come newest first."""
    groups: dict[tuple[str, str], Group] = {}
    for letter in letters:
        key = letter.fingerprint, "" if letter.fingerprint else letter.reason
        if key not in groups:
            groups[key] = Group(letter)
        groups[key].add(letter)
    return sorted(groups.values(), key=lambda one: -one.count)
