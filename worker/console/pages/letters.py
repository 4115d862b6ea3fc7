"""Dead letters and their kinds as rows, for several pages."""

from __future__ import annotations

from dataclasses import dataclass

from worker.dead_letters.groups import Group
from worker.dead_letters.letter import DeadLetter
from worker.engine.dead_letter import NEXT_STEPS, REASONS


@dataclass(frozen=True, slots=True)
class Row:
    """One dead letter. It shows no argument."""

    job_id: str
    queue: str
    function: str
    reason: str
    error: str
    attempts: str
    release: str
    at: float


@dataclass(frozen=True, slots=True)
class Kind:
    """The letters of one cause; `meaning` and `hint` are sentences about the reason."""

    fingerprint: str
    count: int
    function: str
    reason: str
    meaning: str
    hint: str
    error: str
    queues: tuple[str, ...]
    oldest: float
    newest: float
    example: str


def row(letter: DeadLetter) -> Row:
    """Return a letter's row."""
    record = letter.record
    return Row(
        letter.job_id,
        letter.origin,
        letter.function,
        letter.reason,
        letter.error,
        str(record.get("attempts", "")),
        str(record.get("release", "") or ""),
        letter.moment,
    )


def kind(group: Group) -> Kind:
    """Return the row of a kind."""
    newest = group.newest
    return Kind(
        newest.fingerprint,
        group.count,
        newest.function,
        newest.reason,
        REASONS.get(newest.reason, ""),
        NEXT_STEPS.get(newest.reason, ""),
        newest.error,
        tuple(name for name, _ in group.queues.most_common(5)),
        group.oldest_moment,
        group.newest_moment,
        newest.job_id,
    )
