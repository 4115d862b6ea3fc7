"""Payloads and results in words, and what a wicked pickle cannot do to who reads them."""

from __future__ import annotations

import json
import pickle
import zlib
from base64 import b64encode
from collections import Counter, OrderedDict
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from worker.engine.described import MOST_CHARACTERS, Undescribed, call_of, value_of


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


class Point:
    def __init__(self) -> None:
        self.x = 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickled_call_reads_as_its_producer_wrote_it(protocol: int) -> None:
    args = (1, "a'b", [1, {2: 3}], (1,), None, True, 1.5, 2**70, PurePosixPath("/a"), OrderedDict(a=1))
    written = ", ".join(map(repr, PurePosixPath("/a").__reduce__()[1]))  # until Python 3.13 by its parts
    data = pickle.dumps(("jobs.f", None, args, {"k": "v", "n": []}), protocol=protocol)
    expected = (
        'jobs.f(1, "a\'b", [1, {2: 3}], (1,), None, True, 1.5, 1180591620717411303424, '
        f"pathlib.PurePosixPath({written}), collections.OrderedDict({{'a': 1}}), k='v', n=[])"
    )
    assert call_of(data) == call_of(zlib.compress(data)) == expected


def test_json_and_objects_and_results_read_well() -> None:
    assert call_of(json.dumps(["f", None, ["ü", {"b": 1}], {"k": 2}]).encode()) == "f('ü', {'b': 1}, k=2)"
    assert value_of(pickle.dumps(Counter("ab"))) == "collections.Counter({'a': 1, 'b': 1})"
    assert value_of(b64encode(pickle.dumps({1, 2}, protocol=5))) == "{1, 2}"
    assert value_of(pickle.dumps(Point())).endswith("Point({'x': 1})")
    assert value_of(pickle.dumps(date(2020, 1, 1))).startswith("datetime.date(")
    assert value_of(b"12") == "12"
    assert value_of(pickle.dumps([])) == "[]", "what one payload holds never shows in another"


def test_nothing_is_called(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    assert "touch" in value_of(pickle.dumps(Trap(str(sprung))))
    assert "posix.system('true')" in call_of(b"\x80\x02(U\x01fNcposix\nsystem\n(U\x04truetR}t.")
    assert not sprung.exists()


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value, value]
    return value


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [nested(90), itself(), ["x" * 100_000], list(range(20_000))])
def test_what_grows_without_end_is_cut(value: Any) -> None:
    assert len(value_of(pickle.dumps(value))) <= MOST_CHARACTERS


#: A tuple of many parts that is called again and again, each time with all that came before.
_LADDER = b"\x80\x02" + b"(" + b"K\x01" * 10_000 + b"tq\x00" + b"cm\nf\nh\x00R" + b"h\x00R" * 15_000 + b"."


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "There is none"),
        (b"\x80\x05", "cannot be followed"),
        (b"\x80\x05h\x07.", "cannot be followed"),
        (b"\x80\x05t.", "cannot be followed"),
        (b"\x80\x05" + b"(" * 100_000, "more than 50,000 steps"),
        (b"not a payload", "neither a pickle"),
        (b'["' + b"[" * 90_000, "neither a pickle"),
        (b"[" * 90_000, "neither a pickle"),
        (b"9" * 100_000, "neither a pickle"),
        (zlib.compress(b"\x00" * 50_000_000), "more than 1,000,000 bytes"),
        (b"\x80\x02" + b"x" * 2_000_000, "more than 1,000,000 bytes"),
    ],
)
def test_what_cannot_be_shown_says_why(data: bytes, why: str) -> None:
    with pytest.raises(Undescribed, match=why):
        call_of(data)


def test_a_ladder_of_calls_costs_no_more_than_its_steps() -> None:
    assert len(call_of(_LADDER)) <= MOST_CHARACTERS
