"""What stands in the place of an exception that cannot be shown as it is."""

from __future__ import annotations

import traceback

import pytest

from tests.support import oversized
from worker.context import JobStopped, ShutdownRequested
from worker.engine import dead_letter
from worker.engine.raised import MOST_LINKS, StandIn, original, presentable


def raised_by(function: object, *args: object) -> BaseException:
    try:
        function(*args)  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def test_an_ordinary_exception_is_shown_as_it_is() -> None:
    error = raised_by(oversized.chain, MOST_LINKS - 1)
    assert presentable(error) is error
    assert original(error) is error


@pytest.mark.parametrize("end", [ShutdownRequested, JobStopped])
def test_what_ends_a_job_from_outside_stays_itself_whatever_it_came_amid(end: type[BaseException]) -> None:
    ending = end()
    ending.__context__ = oversized.Mean()
    assert presentable(ending) is ending


@pytest.mark.parametrize(
    "function",
    [
        oversized.message,
        oversized.note,
        oversized.class_name,
        oversized.text_exits,
        oversized.text_is_none,
        oversized.chain,
        oversized.group,
        oversized.nested_groups,
    ],
)
def test_a_stand_in_is_shown_by_everybody_in_few_words(function: object) -> None:
    error = raised_by(function)
    shown = presentable(error)
    assert isinstance(shown, StandIn)
    assert original(shown) is error
    assert presentable(shown) is shown
    text = "".join(traceback.format_exception(shown))
    assert len(text) < 50_000
    assert "in raised_by" in text, "the traceback is that of the job"
    assert type(shown).__name__ == type(error).__name__[:200]
    assert len(dead_letter.words(shown)) < 50_000


def test_a_stand_in_says_how_much_of_the_chain_is_left_out_and_shows_the_nearest() -> None:
    text = "".join(traceback.format_exception(presentable(raised_by(oversized.chain, 10_000))))
    assert "number 9999" in text
    assert "number 9995" in text
    assert "(9,996 more exceptions in its chain left out)" in text


def test_an_exception_in_a_circle_is_shown() -> None:
    error, other = ValueError("one"), ValueError("other")
    error.__cause__, other.__cause__ = other, error
    assert presentable(error) is error


def test_a_class_whose_name_no_class_can_have_is_shown_all_the_same() -> None:
    odd = type("odd", (ValueError,), {"__str__": lambda _self: "x" * oversized.HUGE})
    odd.__qualname__ = "\0 odd\udc80"
    odd.__module__ = "jobs.\0"
    assert str(presentable(odd())).startswith("xxx")
