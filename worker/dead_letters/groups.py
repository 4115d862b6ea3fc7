"""Dead letters by the kind of failure. Reading changes nothing and unpickles nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from worker.dead_letters.letter import DeadLetter

#: Letters that are looked at, newest first.
LOOKED_AT: Final = 2000


@dataclass(slots=True)
class DeadLetterGroup:
    """One fingerprint. The other fields are those of its newest letter."""

    fingerprint: str
    count: int
    reason: str
    function: str
    error: str
    newest: str


def group(letters: Iterable[DeadLetter]) -> list[DeadLetterGroup]:
    """Group letters by fingerprint, the largest group first; `letters` come newest first."""
    groups: dict[str, DeadLetterGroup] = {}
    for letter in islice(letters, LOOKED_AT):
        told = letter.record
        name = str(told.get("fingerprint", ""))
        found = groups.get(name)
        if found is not None:
            found.count += 1
            continue
        error = f"{told.get('exception', '')}: {told.get('message', '')}".strip(": ")
        newest = letter.ended_at or str(told.get("at", ""))
        reason, function = str(told.get("reason", "failed elsewhere")), str(told.get("function", ""))
        groups[name] = DeadLetterGroup(name, 1, reason, function, error, newest)
    return sorted(groups.values(), key=lambda one: -one.count)
