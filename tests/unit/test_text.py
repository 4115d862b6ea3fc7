"""Texts for people: numbers, durations and sizes; texts of strangers are harmless."""

from __future__ import annotations

import pytest

from worker.text import count_of, counted, duration, json_text, name_of, one_line, printable, size, text_of


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (599, "599 s"),
        (600, "10.0 min"),
        (5400, "90.0 min"),
        (7200, "2.0 h"),
        (1000 * 86_400, "1,000.0 d"),
    ],
)
def test_a_duration_has_a_fitting_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (3 * 2**30, "3.0 GB")])
def test_a_size_has_a_fitting_unit(count: int, words: str) -> None:
    assert size(count) == words


def test_a_noun_has_its_number() -> None:
    assert (counted(1, "job"), counted(0, "job"), counted(1200, "child", "children")) == (
        "1 job",
        "0 jobs",
        "1,200 children",
    )


def test_redis_answers_become_text() -> None:
    assert (text_of(b"caf\xc3\xa9"), text_of(b"\xff"), text_of(None), text_of("a")) == ("café", "�", "", "a")


@pytest.mark.parametrize("value", [b"plain", b"caf\xc3\xa9", b"\xff\xfe", b""])
def test_a_name_goes_back_as_it_came(value: bytes) -> None:
    assert name_of(value).encode(errors="surrogateescape") == value


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b"0", 0),
        (b"12", 12),
        (b"9" * 18, 10**18 - 1),
        (b"9" * 19, 0),
        (b"9" * 5000, 0),
        (b"-1", 0),
        (b"\xb2", 0),
        (None, 0),
    ],
)
def test_a_count_is_a_sensible_number(value: bytes | None, count: int) -> None:
    assert count_of(value) == count


def test_control_characters_are_spelled_out() -> None:
    assert printable("\x1b[2Jred\n") == "\\x1b[2Jred\n"
    assert one_line("two\n lines\x07") == "two lines\\x07"


def test_json_has_null_for_what_it_cannot_carry() -> None:
    nan, inf = float("nan"), float("inf")
    assert json_text({"a": nan, "b": (inf, [1.5, -inf]), nan: 1}) == '{"a": null, "b": [null, [1.5, null]], "null": 1}'
    assert json_text({1: object}, default=repr) == '{"1": "<class \'object\'>"}'
    round_trip: list[object] = [nan]
    round_trip.append(round_trip)
    with pytest.raises(ValueError, match=r"Circular|JSON"):
        json_text(round_trip)
