"""Which letters a filter means, and how times and rates are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.dead_letters.filter import Filter, age, moment, rate
from worker.dead_letters.letter import UNKNOWN, DeadLetter

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp()


def letter(**record: Any) -> DeadLetter:
    told = {
        "reason": "failed",
        "exception": "shop.Gone",
        "fingerprint": "abc123",
        "function": "jobs.shop.fetch",
        **record,
    }
    return DeadLetter("j", "high", "2026-11-25T11:00:00.000000Z", json.dumps(told).encode())


@pytest.mark.parametrize(
    ("chosen", "meant"),
    [
        (Filter(), True),
        (Filter(queue="high"), True),
        (Filter(queue="hig"), False),
        (Filter(function="jobs.*"), True),
        (Filter(function="jobs"), False),
        (Filter(exception="Gone"), True),
        (Filter(exception="shop.Gone"), True),
        (Filter(exception="G?ne"), True),
        (Filter(exception="gone"), False),
        (Filter(fingerprint="abc123"), True),
        (Filter(fingerprint="abc"), False),
        (Filter(reason="failed"), True),
        (Filter(reason="timeout"), False),
        (Filter(since=NOW - 3600), True),
        (Filter(since=NOW - 3599), False),
        (Filter(until=NOW - 3600), True),
        (Filter(until=NOW - 3601), False),
        (Filter(queue="high", reason="timeout"), False),
    ],
)
def test_filters(chosen: Filter, meant: bool) -> None:
    assert chosen.matches(letter()) is meant
    assert bool(chosen) == (chosen != Filter())


def test_what_the_server_looks_for_stands_in_every_record_that_is_meant() -> None:
    text = json.dumps(letter().record)
    assert all(needle in text for needle in Filter(fingerprint="abc123", reason="failed").needles())
    assert Filter(reason=UNKNOWN).needles() == [], "letters without a record have no reason to be found by"


def test_a_letter_without_a_record_has_an_unknown_reason_and_nothing_else() -> None:
    bare = DeadLetter("j")
    assert (bare.reason, bare.function, bare.fingerprint, bare.moment, bare.record) == (UNKNOWN, "", "", 0.0, {})
    assert Filter(reason=UNKNOWN).matches(bare)


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_parts_are_read_alike_whether_the_record_was_parsed_or_not(separators: tuple[str, str]) -> None:
    told = {"reason": "failed", "message": '"reason": "fake"', "fingerprint": "abc", "function": "jobs.größe.f"}
    one = DeadLetter("j", written=json.dumps(told, separators=separators).encode())
    unparsed = (one.reason, one.fingerprint, one.function)
    assert one.record["message"] == '"reason": "fake"'
    assert unparsed == (one.reason, one.fingerprint, one.function) == ("failed", "abc", "jobs.größe.f")


def test_a_filter_says_what_it_means() -> None:
    assert str(Filter(queue="high", since=NOW)) == "queue high, since 2026-11-25T12:00:00+00:00"
    assert str(Filter()) == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", NOW - 5400),
        ("1.5h", NOW - 5400),
        ("2d", NOW - 172800),
        ("2026-11-25T11:00", NOW - 3600),
        ("2026-11-25", NOW - 43200),
        ("2026-11-25T12:00+01:00", NOW - 3600),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment(text, now=lambda: NOW) == seconds


@pytest.mark.parametrize(("text", "per_second"), [("20", 20), ("20/s", 20), ("90/m", 1.5), ("1800/h", 0.5)])
def test_rates(text: str, per_second: float) -> None:
    assert rate(text) == per_second


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5 m", "5x"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    for read in (lambda: moment(text, now=lambda: NOW), lambda: age(text), lambda: rate(text)):
        with pytest.raises(ValueError, match="Write"):
            read()


@pytest.mark.parametrize("text", ["0", "0/s", "5/w"])
def test_rates_that_never_let_anything_pass_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        rate(text)
