"""A payload or result in words, for people: what a pickle or JSON holds, without unpickling it.

A pickle is a program that builds values. Here it is followed on paper: nothing is imported, called or made but lists of
texts, in bounded steps and bounded length. Objects show as what the pickle says of them: ``Path('/tmp')``.
"""

from __future__ import annotations

import base64
import json
import pickletools
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

#: Steps of a pickle that are followed; bytes that are read; characters that are shown; depth of what is nested.
MOST_STEPS: Final = 50_000
MOST_BYTES: Final = 1_000_000
MOST_CHARACTERS: Final = 20_000
MOST_DEPTH: Final = 30
#: Characters of what is called.
NAME_CHARACTERS: Final = 200


class Undescribed(Exception):
    """It cannot be shown; the message is a sentence that says why."""


@dataclass(slots=True)
class _Made:
    """A value that a pickle builds: how it is written around its parts, and the parts; `args` come before them."""

    before: str
    after: str
    parts: list[Any] = field(default_factory=list)
    pairs: bool = False
    args: Any = None


class _Mark:
    """Where a group of values on the stack begins."""


_MARK: Final = _Mark()


def call_of(data: bytes) -> str:
    """Describe a payload as a call: ``jobs.mail.send('a@b.c', subject='Hi')``. Raises `Undescribed`."""
    value = _value_of(_decompressed(data))
    items = value.parts if isinstance(value, _Made) else value if isinstance(value, list) else []
    if len(items) != 4:
        return _cut(_shown(value))
    function, instance, args, kwargs = items
    name = function if isinstance(function, str) else _shown(function)
    if instance is not None:
        name = f"{_shown(instance)}.{name}"
    plain = isinstance(args, _Made) and args.args is None and args.before in ("(", "[")
    shown = [_shown(part) for part in (args.parts if plain else args)] if plain or isinstance(args, list) else []
    if not plain and not isinstance(args, list):
        shown = [f"*{_shown(args)}"]
    if isinstance(kwargs, _Made) and kwargs.pairs:
        shown += [f"{key if isinstance(key, str) else _shown(key)}={_shown(part)}" for key, part in kwargs.parts]
    elif isinstance(kwargs, dict):
        shown += [f"{key}={_shown(part)}" for key, part in kwargs.items()]
    elif kwargs is not None:
        shown.append(f"**{_shown(kwargs)}")
    return _cut(f"{name}({', '.join(shown)})")


def value_of(data: bytes) -> str:
    """Describe a value as a result holds it: pickled or as JSON, perhaps in base64. Raises `Undescribed`."""
    if data[:1] not in (b"\x80", b"[", b"{", b'"'):
        with suppress(ValueError):  # else it is JSON of a number or a word
            data = base64.b64decode(data, validate=True)
    return _cut(_shown(_value_of(data)))


def _decompressed(data: bytes) -> bytes:
    try:
        reader = zlib.decompressobj()
        plain = reader.decompress(data, MOST_BYTES + 1)
    except zlib.error:
        plain = data
    if len(plain) > MOST_BYTES:
        raise Undescribed(f"It has more than {MOST_BYTES:,} bytes.")
    return plain


def _value_of(data: bytes) -> Any:
    if not data:
        raise Undescribed("There is none.")
    if data[:1] != b"\x80":
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise Undescribed("It is neither a pickle of protocol 2 or newer nor JSON.") from None
    if len(data) > MOST_BYTES:
        raise Undescribed(f"It has more than {MOST_BYTES:,} bytes.")
    try:
        return _Follower().follow(data)
    except Undescribed:
        raise
    except Exception as error:  # noqa: BLE001 — a torn or wicked pickle ends in all kinds of errors
        raise Undescribed(f"The pickle cannot be followed ({type(error).__name__}).") from None


class _Follower:
    """Follows one pickle with a stack and a memo, as the unpickler does, but makes descriptions."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def follow(self, data: bytes) -> Any:
        """Return what the pickle would return, described."""
        for step, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if step >= MOST_STEPS:
                raise Undescribed(f"The pickle takes more than {MOST_STEPS:,} steps.")
            if opcode.name == "STOP":
                break
            self._take(opcode.name, argument)
        return self._stack[-1]

    def _take(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PLAIN:
            stack.append(_PLAIN[name])
        elif name in _EMPTY:
            stack.append(_Made(*_EMPTY[name], [], name == "EMPTY_DICT"))
        elif name in _WITH_ARGUMENT:
            stack.append(argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[int(argument)])
        elif name in ("GLOBAL", "INST"):
            self._name(name, str(argument))
        elif name in ("PROTO", "FRAME"):
            pass
        else:
            _DO[name](self)

    def _name(self, name: str, argument: str) -> None:
        named = _named(argument.partition(" ")[0], argument.partition(" ")[2])
        if name == "INST":
            self._stack.append(_Made(f"{named.before}(", ")", self._to_mark()))
        else:
            self._stack.append(named)

    def _to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise Undescribed("The pickle is torn.")
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def _several(self, before: str, after: str) -> None:
        self._stack.append(_Made(before, after, self._to_mark()))

    def _tuple(self, count: int) -> None:
        parts = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        self._stack.append(_Made("(", ",)" if count == 1 else ")", parts))

    def _append(self) -> None:
        part = self._stack.pop()
        self._stack[-1].parts.append(part)

    def _extend(self) -> None:
        parts = self._to_mark()
        self._stack[-1].parts.extend(parts)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set(self._stack[-1], [(key, value)])

    def _set_items(self) -> None:
        parts = self._to_mark()
        self._set(self._stack[-1], list(zip(parts[::2], parts[1::2], strict=False)))

    def _dict(self) -> None:
        parts = self._to_mark()
        made = _Made("{", "}", [], pairs=True)
        self._set(made, list(zip(parts[::2], parts[1::2], strict=False)))
        self._stack.append(made)

    @staticmethod
    def _set(target: Any, pairs: list[tuple[Any, Any]]) -> None:
        if target.pairs:
            target.parts.extend(pairs)
        else:  # an object that takes items: OrderedDict()
            target.parts.append(_Made("{", "}", list(pairs), pairs=True))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_named(str(module), str(name)))

    def _called(self) -> None:
        args, what = self._stack.pop(), self._stack.pop()
        self._make(what, args)

    def _called_with_names(self) -> None:
        names, args, what = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._make(what, args)
        if isinstance(names, _Made) and names.parts:
            self._stack[-1].parts.append(names)

    def _object(self) -> None:
        what, *args = self._to_mark()
        self._make(what, _Made("(", ")", args))

    def _make(self, what: Any, args: Any) -> None:
        self._stack.append(_Made(f"{_shown(what, NAME_CHARACTERS)}(", ")", args=args))

    def _build(self) -> None:
        state = self._stack.pop()
        self._stack[-1].parts.append(state)

    def _pop(self) -> None:
        self._stack.pop()

    def _dup(self) -> None:
        self._stack.append(self._stack[-1])


def _named(module: str, name: str) -> _Made:
    return _Made(name if module == "builtins" else f"{module}.{name}", "")


_PLAIN: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final = {
    "EMPTY_LIST": ("[", "]"),
    "EMPTY_TUPLE": ("(", ")"),
    "EMPTY_SET": ("{", "}"),
    "EMPTY_DICT": ("{", "}"),
}
_WITH_ARGUMENT: Final = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"),
        *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE", "BINUNICODE8", "PERSID"),
    )
)
_DO: Final[dict[str, Callable[[_Follower], None]]] = {
    "TUPLE": lambda follower: follower._several("(", ")"),
    "LIST": lambda follower: follower._several("[", "]"),
    "FROZENSET": lambda follower: follower._several("frozenset({", "})"),
    "TUPLE1": lambda follower: follower._tuple(1),
    "TUPLE2": lambda follower: follower._tuple(2),
    "TUPLE3": lambda follower: follower._tuple(3),
    "DICT": _Follower._dict,
    "APPEND": _Follower._append,
    "APPENDS": _Follower._extend,
    "ADDITEMS": _Follower._extend,
    "SETITEM": _Follower._set_item,
    "SETITEMS": _Follower._set_items,
    "STACK_GLOBAL": _Follower._stack_global,
    "REDUCE": _Follower._called,
    "NEWOBJ": _Follower._called,
    "NEWOBJ_EX": _Follower._called_with_names,
    "OBJ": _Follower._object,
    "BUILD": _Follower._build,
    "POP": _Follower._pop,
    "POP_MARK": lambda follower: (follower._to_mark(), None)[1],
    "DUP": _Follower._dup,
}


def _shown(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Write a value, bounded in length and depth; one that holds itself ends at the bound."""
    out: list[str] = []
    _write(value, out, [most], 0)
    return "".join(out)[: most + 1]


def _write(value: Any, out: list[str], left: list[int], depth: int) -> None:
    if left[0] <= 0:
        return
    if depth > MOST_DEPTH:
        _say("…", out, left)
    elif isinstance(value, _Made):
        _say(value.before, out, left)
        if value.args is not None:
            plain = isinstance(value.args, _Made) and not value.args.pairs
            args = value.args.parts if plain else [value.args]
            _write_parts(args, out, left, depth, pairs=False)
            _say(", " if args and value.parts else "", out, left)
        _write_parts(value.parts, out, left, depth, pairs=value.pairs)
        _say(value.after, out, left)
    elif isinstance(value, dict):
        _say("{", out, left)
        _write_parts(list(value.items()), out, left, depth, pairs=True)
        _say("}", out, left)
    elif isinstance(value, list):
        _say("[", out, left)
        _write_parts(value, out, left, depth, pairs=False)
        _say("]", out, left)
    elif isinstance(value, int) and value.bit_length() > 10_000:  # Python refuses to write such numbers
        _say(f"<a number of {value.bit_length():,} bits>", out, left)
    else:
        _say(repr(value[:MOST_CHARACTERS] if isinstance(value, str | bytes | bytearray) else value), out, left)


def _write_parts(parts: list[Any], out: list[str], left: list[int], depth: int, *, pairs: bool) -> None:
    for at, part in enumerate(parts):
        if left[0] <= 0:
            break
        if at:
            _say(", ", out, left)
        if pairs:
            _write(part[0], out, left, depth + 1)
            _say(": ", out, left)
            _write(part[1], out, left, depth + 1)
        else:
            _write(part, out, left, depth + 1)


def _say(text: str, out: list[str], left: list[int]) -> None:
    out.append(text)
    left[0] -= len(text)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
