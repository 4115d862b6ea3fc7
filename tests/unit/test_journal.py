"""The rules of a job's journal: names, JSON, bounds, and what people see of it."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest

from worker import journal
from worker.journal import Entry, Journal, NotKept, StepError, described, encode, entries, standing, standing_of
from worker.retry import PermanentError


class Recording:
    """A store that keeps what is written, or refuses it."""

    def __init__(self, *kept: Entry) -> None:
        self.kept = list(kept)
        self.reads = 0
        self.refuses = False
        self.written: list[tuple[str, str, str]] = []
        self.stopping = self.ordered = False
        self.deadline = math.inf

    def read(self) -> list[Entry]:
        self.reads += 1
        return self.kept

    def write(self, field: str, text: str, standing: str) -> None:
        if self.refuses:
            raise NotKept("Redis is away")
        self.written.append((field, text, standing))

    def look(self) -> None:
        pass


@pytest.mark.parametrize("name", ["", "x" * 201, 7, None, "a\nb", "a\x00", "\ud800"])
def test_a_name_that_cannot_be_kept_is_refused_in_a_sentence(name: Any) -> None:
    with pytest.raises(StepError, match=r"The name of a step is .*; use a text of 1 to 200 printable characters"):
        journal.check_name("step", name)


@pytest.mark.parametrize("name", ["a", "x" * 200, "page:7", "höchste Stufe", "日本"])
def test_any_printable_text_is_a_name(name: str) -> None:
    journal.check_name("step", name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ((1, "a"), '[1,"a"]'),
        ({1: 2.5}, '{"1":2.5}'),
        ("é\ud800", '"\\u00e9\\ud800"'),
        (10**30, "1" + "0" * 30),
    ],
)
def test_a_value_is_kept_as_json_has_it(value: Any, text: str) -> None:
    assert encode("The step 'a' returned", value) == text


_LOOP: list[Any] = []
_LOOP.append(_LOOP)


@pytest.mark.parametrize(
    "value", [datetime.date(2026, 1, 2), {1, 2}, b"x", math.nan, [math.inf], object(), _LOOP, {("a",): 1}]
)
def test_what_is_no_json_is_refused_in_a_sentence_and_not_tried_again(value: Any) -> None:
    with pytest.raises(StepError, match=r"The step 'a' returned a \w+ that is no JSON \(.*Return None, numbers"):
        encode("The step 'a' returned", value)
    assert issubclass(StepError, PermanentError)


def test_a_number_that_python_does_not_write_out_is_refused_too() -> None:
    with pytest.raises(StepError, match="a int that is no JSON"):
        encode("The step 'a' returned", 10**5000)


def test_what_is_too_large_is_refused_by_the_smaller_bound() -> None:
    with pytest.raises(StepError, match=r"98 B of JSON, and 50 B are the most"):
        Journal(Recording(), 50).keep("a", "x" * 96)
    assert Journal(Recording(), 98).keep("a", "x" * 96) == "x" * 96
    with pytest.raises(StepError, match=r"The step 'a' returned 3.8 MB of JSON"):
        Journal(Recording(), 0).keep("a", "x" * 4_000_000)


def test_the_first_run_sees_what_the_next_one_will_see() -> None:
    store = Recording()
    assert Journal(store).keep("a", {1: (2, 3)}) == {"1": [2, 3]}
    [(field, text, _)] = store.written
    again = Journal(Recording(Entry(1.0, "step", "a", text))).kept("a")
    assert (field, again) == ("step:a", journal.Kept({"1": [2, 3]}))


def test_what_is_kept_is_read_once_and_each_reader_gets_its_own() -> None:
    store = Recording(Entry(1.0, "step", "a", "[1]"), Entry(2.0, "cursor", "pages", "7"))
    run = Journal(store)
    first = run.kept("a")
    assert first is not None
    first.value.append(2)
    assert (run.kept("a"), run.kept("b"), run.position("pages"), run.position("other", 3)) == (
        journal.Kept([1]),
        None,
        7,
        3,
    )
    assert store.reads == 1


def test_what_the_store_refuses_is_not_kept_in_memory_either() -> None:
    store = Recording(Entry(1.0, "cursor", "pages", "7"))
    run = Journal(store)
    store.refuses = True
    with pytest.raises(NotKept):
        run.keep("a", 1)
    with pytest.raises(NotKept):
        run.move("pages", "8")
    assert (run.kept("a"), run.position("pages")) == (None, 7)


def test_the_number_and_the_bytes_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_ENTRIES", 2)
    run = Journal(Recording(Entry(1.0, "step", "a", "1")))
    run.keep("b", 1)
    run.keep("b", 2)
    with pytest.raises(StepError, match="keeps 3 steps and cursors"):
        run.move("pages", "1")
    monkeypatch.setattr(journal, "MOST_BYTES_IN_ALL", 100)
    with pytest.raises(StepError, match="Use a cursor for a loop"):
        run.keep("b", "x" * 100)


def test_where_a_job_stands_is_told_in_few_bytes() -> None:
    stands = standing({"a" * 200: "1", "b" * 200: "2"}, {f"c{n}": json.dumps("v" * 1000) for n in range(50)})
    assert len(stands) < 700
    assert described(stands.encode()).startswith(f"2 steps kept, the last one '{'b' * 59}…'; cursor c0 at \"vvv")
    assert described(standing({"a": "1"}, {}).encode()) == "1 step kept, the last one 'a'"
    assert described(standing({}, {"pages": "40"}).encode()) == "cursor pages at 40"


@pytest.mark.parametrize("text", [b"", b"no JSON", b"[1]", b'{"steps": "x"}', b'{"cursors": 5}', b"\xff"])
def test_what_is_no_standing_of_ours_says_nothing(text: bytes) -> None:
    assert described(text) == ""


def test_a_standing_belongs_to_the_job_that_was_created_then() -> None:
    fields = {b"created_at": b"2026-11-25T04:37:30Z", b"journal": b"2026-11-25T04:37:30Z {}"}
    assert standing_of(fields) == b"{}"
    assert standing_of({**fields, b"created_at": b"2026-11-25T04:37:31Z"}) == b""
    assert standing_of({b"created_at": b"2026-11-25T04:37:30Z"}) == b""
    assert standing_of({b"journal": b" {}"}) == b"{}", "REST producers may leave the date out"


def test_entries_come_in_the_order_of_their_keeping_without_what_is_not_ours() -> None:
    held = {
        b"step:b": b"20.5 [1, 2]",
        b"step:a": b"3.25 1",
        b"cursor:x:y": b"100.0 7",
        b"odd": b"1 1",
        b"step:c": b"nonsense",
    }
    assert entries(held) == [
        Entry(3.25, "step", "a", "1"),
        Entry(20.5, "step", "b", "[1, 2]"),
        Entry(100.0, "cursor", "x:y", "7"),
    ]
