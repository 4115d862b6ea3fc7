"""Where a RESP message ends (both directions, RESP2 and RESP3), without building its value."""

from __future__ import annotations

#: Aggregates and how many values each counted item has; see the RESP3 specification.
_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_BLOBS = (b"$", b"!", b"=")
_LINES = (b"+", b"-", b":", b",", b"#", b"_", b"(")


class NotRespError(ValueError):
    """The bytes are no RESP: TLS, for instance, or an inline command."""


def message_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Return the offset just behind the message that begins at `start`, None while it is incomplete.

    Raises `NotRespError` when `start` is not the beginning of a message. A RESP3 attribute is a message of its own.
    """
    pending, at = 1, start
    while pending:
        line_end = data.find(b"\r\n", at)
        kind = bytes(data[at : at + 1])
        if kind and kind not in _AGGREGATES and kind not in _BLOBS and kind not in _LINES:
            raise NotRespError(f"no RESP message begins with {kind!r}")
        if line_end < 0:
            return None
        pending -= 1
        at_next = line_end + 2
        if kind in _AGGREGATES:
            pending += max(0, _number(data[at + 1 : line_end])) * _AGGREGATES[kind]
        elif kind in _BLOBS:
            length = _number(data[at + 1 : line_end])
            at_next += length + 2 if length >= 0 else 0
            if at_next > len(data):
                return None
        at = at_next
    return at


def is_push(data: bytes | bytearray, start: int) -> bool:
    """Tell whether the message at `start` came unasked (push) or decorates the next one (attribute): no reply."""
    return data[start : start + 1] in (b">", b"|")


def _number(text: bytes | bytearray) -> int:
    try:
        return int(text)
    except ValueError:
        raise NotRespError(f"{bytes(text)!r} is no length") from None
