"""What RQ's text of a failure tells: the same as the exception itself would have told our own consumers."""

from __future__ import annotations

import traceback
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import tasks
from worker.dead_letters.rq_failures import failure, traceback_of
from worker.engine.dead_letter import MESSAGE_CHARACTERS, fingerprint


def raised(function: Callable[..., Any], *args: Any) -> tuple[BaseException, str]:
    """Return what a function raises, and the text that RQ keeps of it."""
    try:
        function(*args)
    except Exception as error:
        return error, "".join(traceback.format_exception(error))
    raise AssertionError("it did not raise")


def chained() -> None:
    try:
        tasks.parse("{")
    except ValueError as error:
        raise LookupError("no price") from error


def in_passing() -> None:
    try:
        tasks.parse("{")
    except ValueError:
        tasks.boom("while handling")


def two_lines() -> None:
    raise ValueError("first\nsecond: third")


def silent() -> None:
    raise KeyError


@pytest.mark.parametrize(
    ("function", "args", "kind", "message"),
    [
        (tasks.boom, ("no such page",), "ValueError", "no such page"),
        (tasks.give_up, (), "worker.retry.PermanentError", "there is no such product"),
        (chained, (), "LookupError", "no price"),
        (in_passing, (), "ValueError", "while handling"),
        (two_lines, (), "ValueError", "first\nsecond: third"),
        (silent, (), "KeyError", ""),
        (tasks.boom, ("x" * 5000,), "ValueError", "x" * MESSAGE_CHARACTERS),
    ],
)
def test_kind_message_and_fingerprint_are_those_of_the_exception(
    function: Callable[..., Any], args: tuple[Any, ...], kind: str, message: str
) -> None:
    error, text = raised(function, *args)
    name = "tests.support.tasks.boom"
    read = failure(text, name)
    assert (read.reason, read.exception, read.message) == ("failed_elsewhere", kind, message)
    assert read.fingerprint(name) == fingerprint(name, error, "failed")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-11-25 10:11:20+00:00", "abandoned"),
        ("Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); ", "crashed"),
        ("", "failed_elsewhere"),
        ("somebody's own words", "failed_elsewhere"),
    ],
)
def test_rqs_own_words_are_understood(text: str, reason: str) -> None:
    read = failure(text, "")
    assert (read.reason, read.exception, read.message) == (reason, "", text.strip())
    assert len(read.fingerprint("")) == 12


def test_a_timeout_is_named_wherever_it_was_raised() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/app/jobs/shop.py", line 3, in fetch\n    wait()\n'
        "rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value (180 seconds)\n"
    )
    read = failure(text, "jobs.shop.fetch")
    assert (read.reason, read.frame) == ("timeout", "shop.py:fetch")


@pytest.mark.parametrize("stored", [None, b"", b"!", b64encode(b"not zlib")])
def test_a_text_that_cannot_be_read_is_no_text(stored: bytes | None) -> None:
    assert traceback_of(stored) == ""


def test_a_text_is_stored_as_rq_stores_it() -> None:
    assert traceback_of(b64encode(zlib.compress(b"caf\xc3\xa9 \xff"))) == "café \ufffd"


def test_a_traceback_that_decompresses_to_much_is_read_in_part() -> None:
    packed = b64encode(zlib.compress(b"x" * 100_000_000, 9))
    assert 0 < len(traceback_of(packed)) <= 1_000_000
