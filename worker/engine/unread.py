"""What may be known of a job without reading its payload, which may end or block the process that reads it.

Whoever decides about a job that does not run here, the dispatcher, a consumer after the death of the one before it, the
tools, has an `Unread` job: the fields of its hash, the name of its function as the payload's first bytes spell it, and
its meta where that is made of nothing but texts, numbers, lists and dictionaries.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import zlib
from collections.abc import Callable
from typing import Any, Final

from rq.job import Job

from worker.engine.meta import MetaKeepingJob
from worker.engine.serializers import Json, Refused

#: A larger meta is not looked at: going through it takes about a microsecond for each byte.
MOST_META_BYTES: Final = 100_000
#: Bytes in which a payload's name must stand.
_NAME_BYTES: Final = 4_000

#: The opcodes of plain data. Tuples and sets are none of them: hashing one that is nested can overflow the stack of C,
#: or take for ever.
_TEXTS: Final = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
_PLAIN: Final = _TEXTS | {
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINBYTES", "BINBYTES"),
}


class Unread(MetaKeepingJob):
    """A job whose payload nobody has read: it has a function's name, and no arguments. `whole` reads it all."""

    whole: Callable[[], Job]


class PlainData:
    """RQ's serializers `json` and `pickle`, for meta: reads nothing but plain data, writes as `pickled` says."""

    def __init__(self, *, pickled: bool) -> None:
        self._pickled = pickled

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into bytes."""
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL) if self._pickled else Json().dumps(value)

    def loads(self, data: bytes, /) -> Any:
        """Turn bytes into a value; raises `Refused` when they are more than plain data."""
        if len(data) > MOST_META_BYTES:
            raise Refused("unreadable_payload", f"It has more than {MOST_META_BYTES:,} bytes.")
        if data[:1] != b"\x80":
            return json.loads(data)
        if not _is_plain(data):
            raise Refused("unreadable_payload", "It holds more than texts, numbers, lists and dictionaries.")
        return pickle.loads(data)  # noqa: S301 — it names nothing, see `_is_plain`


def function_of(data: bytes) -> str:
    """Return the function's name with which a payload, compressed or not, begins; "" where there is none to be seen."""
    try:
        return function_named(zlib.decompressobj().decompress(data, _NAME_BYTES))
    except zlib.error:
        return function_named(data)


def function_named(data: bytes) -> str:
    """Return the function's name with which a payload begins, "" where there is none to be seen."""
    head = data[:_NAME_BYTES]
    try:
        return _pickled_name(head) if head[:1] == b"\x80" else _json_name(head.decode(errors="replace"))
    except (ValueError, IndexError):
        return ""


def _json_name(text: str) -> str:
    text = text.lstrip()
    if text[:1] != "[":
        return ""
    text = text[1:].lstrip()
    return str(json.JSONDecoder().raw_decode(text)[0]) if text[:1] == '"' else ""


def _pickled_name(head: bytes) -> str:
    """RQ pickles a tuple of four: (function name, instance, arguments, keyword arguments)."""
    for opcode, value, _ in pickletools.genops(head):
        if opcode.name in _TEXTS:
            return str(value)
        if opcode.name not in ("PROTO", "FRAME", "MARK"):
            break
    return ""


def _is_plain(data: bytes) -> bool:
    """Whether a pickle builds plain data, each value of its own: one list in many places grows without end as JSON."""
    texts: set[int] = set()
    stored, last = 0, ""
    try:
        for opcode, value, _ in pickletools.genops(data):
            name = opcode.name
            if name not in _PLAIN:
                return False
            if name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
                if last in _TEXTS:
                    texts.add(stored if name == "MEMOIZE" else int(value or 0))
                stored += 1
            elif name in ("BINGET", "LONG_BINGET") and value not in texts:
                return False
            last = name
    except Exception:  # noqa: BLE001 — it is cut off or none: the module raises all kinds
        return False
    return True
