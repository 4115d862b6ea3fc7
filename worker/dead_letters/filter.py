"""Which dead letters a command is about: what the options of `python -m worker dead` choose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from worker.dead_letters.letter import UNKNOWN, DeadLetter
from worker.text import UNIT_SECONDS


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty fields mean anything. `function` and `exception` may hold * and ?; times are Unix seconds."""

    queue: str = ""
    function: str = ""
    exception: str = ""
    fingerprint: str = ""
    reason: str = ""
    since: float | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self != Filter()

    def among(self, letters: Iterable[DeadLetter]) -> Iterable[DeadLetter]:
        """Return the letters that match."""
        return filter(self.matches, letters) if self else letters

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a letter matches."""
        return (
            self.queue in ("", letter.origin)
            and self.reason in ("", letter.reason)
            and self.fingerprint in ("", letter.fingerprint)
            and (not self.function or fnmatchcase(letter.function, self.function))
            and (not self.exception or self._is_exception(str(letter.record.get("exception", ""))))
            and (self.since is None or letter.moment >= self.since)
            and (self.until is None or letter.moment <= self.until)
        )

    def needles(self) -> list[str]:
        """Texts in the JSON of every record that matches: the server leaves out records without them."""
        found = []
        if self.fingerprint:
            found.append(f'"fingerprint": {json.dumps(self.fingerprint)}')
        if self.reason and self.reason != UNKNOWN:
            found.append(f'"reason": {json.dumps(self.reason)}')
        return found

    def __str__(self) -> str:
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in ("", None):
                shown = datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds") if _is_time(value) else value
                parts.append(f"{field.name} {shown}")
        return ", ".join(parts)

    def _is_exception(self, name: str) -> bool:
        """Match the whole dotted name or its last part: people say ValueError, and they say RetryLater."""
        return fnmatchcase(name, self.exception) or fnmatchcase(name.rpartition(".")[2], self.exception)


def moment(text: str, *, now: Callable[[], float]) -> float:
    """Read a point in time: an age (90m, 12h, 7d) before `now`, or ISO 8601; UTC unless it names a time zone.

    Raises ValueError with a sentence.
    """
    if re.fullmatch(r"\d+(\.\d+)?[smhdw]", text):
        return now() - age(text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no point in time. Write an age like 90m, 12h or 7d, or a date like 2026-11-25T04:30"
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def age(text: str) -> float:
    """Read a length of time like 90m, 12h or 7d, in seconds. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is no length of time. Write a number and a unit: 30s, 90m, 12h, 7d, 2w")
    return float(found[1]) * UNIT_SECONDS[found[2]]


def rate(text: str) -> float:
    """Read jobs per second from 20, 20/s, 100/m or 500/h. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smhd]))?", text)
    per_second = float(found[1]) / UNIT_SECONDS[found[2] or "s"] if found else 0.0
    if per_second <= 0:
        raise ValueError(f"{text!r} is no rate. Write jobs per unit of time: 20 or 20/s, 100/m, 500/h")
    return per_second


def _is_time(value: Any) -> bool:
    return isinstance(value, float)
