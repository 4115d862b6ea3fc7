"""Pickles that try to change the process for the jobs after them: each is refused, and nothing has changed."""

from __future__ import annotations

import io
import ipaddress
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import pytest

from worker.engine.serializers import Refused
from worker.engine.unpickling import AllowListedPickle

HERE = __name__
PICKLES = AllowListedPickle([HERE])


class Settings:
    """Something that a job module keeps for all its jobs."""

    verify = True
    made: list[str] = []  # noqa: RUF012 — shared on purpose

    def __init__(self, name: str) -> None:
        self.made.append(name)

    @classmethod
    def append(cls, name: str) -> None:
        cls.made.append(name)

    extend = append


class Guarded:
    """Its making is code of its own."""

    def __new__(cls, *names: str) -> Guarded:
        Settings.made.extend(names)
        return super().__new__(cls)


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Parcel:
    number: str
    items: list[str]


class Plain:
    """What RQ's `enqueue(thing.method)` pickles."""

    def __init__(self) -> None:
        self.colour = "red"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Size(Enum):
    LARGE = "large"


class Slotted:
    __slots__ = ("colour",)

    colour: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.colour == other.colour

    __hash__ = None  # type: ignore[assignment]


class Stateful:
    """Restores itself."""

    def __init__(self) -> None:
        self.open = True

    def __getstate__(self) -> dict[str, bool]:
        return {}

    def __setstate__(self, _state: object) -> None:
        self.open = False


KEPT = Plain()


def dangerous(*names: str) -> str:
    Settings.made.extend(names or ("called",))
    return "called"


def name(module: str, path: str) -> bytes:
    return b"".join(text(part) for part in (module, path)) + pickle.STACK_GLOBAL


def text(value: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(value.encode())]) + value.encode()


def program(*steps: bytes) -> bytes:
    return pickle.PROTO + b"\x04" + b"".join(steps) + pickle.STOP


def dict_of(key: str, what: bytes) -> bytes:
    return pickle.EMPTY_DICT + text(key) + what + pickle.SETITEM


def called(module: str, path: str, *arguments: bytes) -> bytes:
    return name(module, path) + pickle.MARK + b"".join(arguments) + pickle.TUPLE + pickle.REDUCE


HOSTILE = {
    "BUILD on a class of Python's": program(
        name("ipaddress", "IPv4Address"), dict_of("is_loopback", pickle.NEWFALSE), pickle.BUILD
    ),
    "BUILD with slots on a class of Python's": program(
        name("ipaddress", "IPv4Address"),
        pickle.NONE,
        dict_of("is_loopback", pickle.NEWFALSE),
        pickle.TUPLE2,
        pickle.BUILD,
    ),
    "BUILD on a class of the jobs": program(name(HERE, "Settings"), dict_of("verify", pickle.NEWFALSE), pickle.BUILD),
    "BUILD on a function": program(name(HERE, "dangerous"), dict_of("__code__", pickle.NONE), pickle.BUILD),
    "BUILD on a member of an enumeration": program(
        called("builtins", "getattr", name(HERE, "Size"), text("LARGE")), dict_of("x", pickle.NONE), pickle.BUILD
    ),
    "BUILD on a member that was called by its value": program(
        called(HERE, "Size", text("large")), dict_of("x", pickle.NONE), pickle.BUILD
    ),
    "BUILD on what a module keeps": program(name(HERE, "KEPT"), dict_of("colour", text("blue")), pickle.BUILD),
    "REDUCE of a function": program(called(HERE, "dangerous")),
    "REDUCE of a class that is no data": program(called(HERE, "Settings", text("made"))),
    "REDUCE of a method": program(called(HERE, "Settings.append", text("made"))),
    "OBJ of a function": program(pickle.MARK, name(HERE, "dangerous"), pickle.OBJ),
    "INST of a function": b"(i" + HERE.encode() + b"\ndangerous\n.",
    "NEWOBJ of a class with a making of its own": program(
        name(HERE, "Guarded"), text("made"), pickle.TUPLE1, pickle.NEWOBJ
    ),
    "NEWOBJ_EX of the same": program(
        name(HERE, "Guarded"), text("made"), pickle.TUPLE1, pickle.EMPTY_DICT, pickle.NEWOBJ_EX
    ),
    "a function as __setstate__": program(
        *(name(HERE, "Plain"), pickle.EMPTY_TUPLE, pickle.NEWOBJ),
        *(dict_of("__setstate__", name(HERE, "dangerous")), pickle.BUILD, text("made"), pickle.BUILD),
    ),
    "another class for what was made": program(
        *(name(HERE, "Plain"), pickle.EMPTY_TUPLE, pickle.NEWOBJ, pickle.NONE),
        *(dict_of("__class__", name(HERE, "Settings")), pickle.TUPLE2, pickle.BUILD),
    ),
    "APPEND to a class": program(name(HERE, "Settings"), text("made"), pickle.APPEND),
    "APPENDS to a class": program(name(HERE, "Settings"), pickle.MARK, text("made"), pickle.APPENDS),
    "SETITEM on what a module keeps": program(name(HERE, "KEPT"), text("a"), text("b"), pickle.SETITEM),
    "SETITEMS on a class": program(name(HERE, "Settings"), pickle.MARK, text("a"), text("b"), pickle.SETITEMS),
    "ADDITEMS to a class": program(name(HERE, "Settings"), pickle.MARK, text("made"), pickle.ADDITEMS),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_it_changes_nothing_outside_itself(attack: str) -> None:
    data = HOSTILE[attack]
    pickletools.dis(data, out=io.StringIO())  # it is a pickle, and not refused for being none
    before = (Settings.verify, list(Settings.made), vars(KEPT).copy(), set(vars(ipaddress.IPv4Address)))
    with pytest.raises((Refused, ValueError)):
        PICKLES.loads(data)
    assert (Settings.verify, Settings.made, vars(KEPT), set(vars(ipaddress.IPv4Address))) == before
    assert ipaddress.ip_address("127.0.0.1").is_loopback


@pytest.mark.parametrize(
    "attack",
    [attack for attack in HOSTILE if attack.split()[0] in ("BUILD", "REDUCE", "OBJ", "INST", "NEWOBJ", "APPEND")],
)
def test_the_refusal_says_what_the_pickle_would_do(attack: str) -> None:
    with pytest.raises(Refused) as refused:
        PICKLES.loads(HOSTILE[attack])
    assert refused.value.code == "refused_class"
    assert any(word in str(refused.value) for word in ("calls", "makes", "changes", "names"))


@pytest.mark.parametrize(
    ("owner", "asked", "why"),
    [
        ("Size", "HUGE", "no such member"),
        ("Plain", "__init__", "only members of enumerations"),
        ("Size", "__class__", "no such member"),
    ],
)
def test_what_python_311_would_name_by_getattr_is_a_member_and_nothing_else(owner: str, asked: str, why: str) -> None:
    assert PICKLES.loads(program(called("builtins", "getattr", name(HERE, "Size"), text("LARGE")))) is Size.LARGE
    with pytest.raises(Refused) as refused:
        PICKLES.loads(program(called("builtins", "getattr", name(HERE, owner), text(asked))))
    assert repr(asked) in str(refused.value)
    assert f"{HERE}.{owner}: " in str(refused.value)
    assert why in str(refused.value)
    assert refused.value.subject == f"{HERE}.{owner}"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "make",
    [
        *(
            lambda: Parcel("p-1", ["lamp"]),
            lambda: Point(1, 2),
            Plain,
            lambda: KeyError("no price"),
            lambda: Size.LARGE,
        ),
        *(lambda: {"nested": [Parcel("p", []), {"set": {1, 2}, "twice": Plain()}]}, lambda: dangerous, lambda: Parcel),
    ],
)
def test_data_of_the_jobs_comes_through(make: Callable[[], Any], protocol: int) -> None:
    sent = make()
    loaded = PICKLES.loads(pickle.dumps(sent, protocol=protocol))
    assert repr(loaded) == repr(sent) if isinstance(sent, Exception) else loaded == sent


def test_what_is_slotted_or_restores_itself_comes_through() -> None:
    slotted = Slotted()
    slotted.colour = "red"
    assert PICKLES.loads(pickle.dumps(slotted)) == slotted
    opened = Stateful()
    opened.__dict__["kept"] = 1
    assert isinstance(PICKLES.loads(pickle.dumps(opened)), Stateful)


def test_plain_data_names_nothing_and_takes_the_fast_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.unpickling._Checked", None)
    plain = ("jobs.a.b", None, (1, 2.5, "x", b"y", None, True, [1], {"a": (2,)}), {"k": {1, 2}})
    assert PICKLES.loads(pickle.dumps(plain)) == plain
