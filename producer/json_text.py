"""JSON as both producers write it, to the byte: compact, numbers in JavaScript's form, nothing changed on the way.

What JSON cannot carry is refused in a sentence before anything is sent. One value has more than one text: JavaScript
moves keys that look like an index (``"7"``) to the front of an object, and has no ``1.0`` beside ``1``.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any, Final

from .errors import InvalidJob

MAX_DEPTH: Final = 50
#: JSON numbers beyond it change in other languages, and Python refuses to read very long ones.
MAX_INTEGER: Final = 2**63
#: The greatest of which JavaScript knows each neighbour.
_SAFE_INTEGER: Final = 2**53 - 1


def is_text(value: str) -> bool:
    """Tell whether UTF-8 can carry `value`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_text(value: Any, what: str, most: int) -> str:
    """Return `value` as JSON of at most `most` bytes; raises `InvalidJob`, which calls it `what`."""
    text = _written(value, what, 0, canonical=False)
    size = len(text.encode())
    if size > most:
        raise InvalidJob(
            f"{what} have {size:,} bytes as JSON, and at most {most:,} are taken; store them elsewhere and pass a link"
        )
    return text


def canonical_text(value: Any, what: str) -> str:
    """Return the one text of all JSON that means the same (RFC 8785): sorted keys, 1 for 1.0. Raises `InvalidJob`."""
    return _written(value, what, 0, canonical=True)


def by_utf16(key: str) -> bytes:
    """Sort texts as JavaScript does."""
    return key.encode("utf-16-be", "surrogatepass")


def _written(value: Any, what: str, depth: int, *, canonical: bool) -> str:
    if depth > MAX_DEPTH:
        raise InvalidJob(f"{what} are nested more than {MAX_DEPTH} levels deep, or contain themselves")
    if isinstance(value, str):
        return _text(value, what)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidJob(f"{what} hold a whole number beyond 2^63; pass it as text")
        return int.__repr__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJob(f"{what} hold {value}, which JSON cannot carry")
        if canonical and value.is_integer() and abs(value) <= _SAFE_INTEGER:
            return int.__repr__(int(value))
        return _number(value)
    if isinstance(value, list | tuple):
        return f"[{','.join([_written(item, what, depth + 1, canonical=canonical) for item in value])}]"
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidJob(f"{what} hold an object with a key of type {type(key).__name__}; JSON has only texts")
        keys = sorted(value, key=by_utf16) if canonical else value
        pairs = [f"{_text(key, what)}:{_written(value[key], what, depth + 1, canonical=canonical)}" for key in keys]
        return f"{{{','.join(pairs)}}}"
    raise InvalidJob(
        f"{what} hold a value of type {type(value).__name__}, which JSON cannot carry; pass texts, numbers, "
        f"booleans, None, lists and dicts"
    )


def _text(value: str, what: str) -> str:
    if not is_text(value):
        raise InvalidJob(f"{what} hold a text with half a character (a lone surrogate) in it")
    written: str = encode_basestring(value)
    return written


def _number(value: float) -> str:
    """Write a number as JavaScript does: its digits are Python's, its exponents begin at 1e-7 and have no zeros."""
    text = float.__repr__(value)
    mantissa, e, exponent = text.partition("e")
    if not e or (power := int(exponent)) > 0:
        return text
    if power < -6:
        return f"{mantissa}e{power}"
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"
