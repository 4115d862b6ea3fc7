"""Untrusted texts made safe to print; numbers, durations and sizes as people read them."""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import datetime
from typing import Any, Final

#: Seconds in the units that people write: 30s, 90m, 12h, 7d, 2w.
UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def printable(text: object) -> str:
    """Return a text in which control characters are spelled out.

    Error messages, product pages and job ids come from strangers; an escape sequence in one could rewrite the screen.
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in str(text)
    )


def one_line(text: object) -> str:
    """Return `printable(text)` on one line."""
    return " ".join(printable(text).split())


def text_of(value: object) -> str:
    """Return what Redis answered as text: bytes decoded, "" for nothing."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def name_of(value: bytes) -> str:
    """Return a name or id as text, of which `ScriptCalls` makes the same bytes again, also where they are no UTF-8."""
    return value.decode(errors="surrogateescape")


def count_of(value: object) -> int:
    """Return what Redis answered as a whole number of at most 18 digits; 0 for anything else, nothing among it."""
    text = text_of(value)
    return int(text) if len(text) <= 18 and text.isascii() and text.isdigit() else 0


def moment_of(text: object) -> float | None:
    """Return the Unix seconds of an ISO date, as RQ writes them; None for anything else."""
    try:
        return datetime.fromisoformat(text_of(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON, with null for NaN and infinity, which it does not have; `options` are `json.dumps`'s."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError as error:
        try:
            return json.dumps(finite(value), allow_nan=False, **options)
        except RecursionError:
            raise error from None  # it contains itself


def not_json(name: str) -> Any:
    """Refuse NaN, Infinity and -Infinity when JSON is read (`parse_constant` of `json.loads`); raises ValueError."""
    raise ValueError(f"it holds {name}, which JSON does not have")


def finite(value: Any) -> Any:
    """Return a value in which None stands for each number that is not finite, also in lists, tuples and dicts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {finite(name): finite(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [finite(held) for held in value]
    return value


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 job, 2 jobs."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Return a duration: 3.2 s, 45 s, 12.0 min, 3.5 h, 4.0 d."""
    for unit, length, least in (("d", 86_400, 2 * 86_400), ("h", 3600, 2 * 3600), ("min", 60, 600)):
        if seconds >= least:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def took(seconds: float | None) -> str:
    """Return how long something took, in ms below a second; "" for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    return duration(seconds)


def size(count: float) -> str:
    """Return a number of bytes: 512 B, 1.5 MB."""
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def bounded(text: str, most: int) -> str:
    """Return a text with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n{left_out(len(text) - 2 * half)}\n{text[-half:]}"


def left_out(characters: int) -> str:
    """Return what stands for characters that were cut out of a text."""
    return f"… {characters:,} characters left out …"
