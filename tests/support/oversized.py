"""Job functions that say too much: what they raise, return, log or are called is far too large, or never ends."""

from __future__ import annotations

import logging
import os
from typing import Any

from rq import get_current_job
from structlog import get_logger

from worker import context
from worker.retry import PermanentError

HUGE = 6_000_000  #: characters, more than a result may have


def noise() -> str:
    """Return a huge text that does not compress well."""
    return os.urandom(HUGE // 2).hex()


def message() -> None:
    raise ValueError(noise())


def permanent() -> None:
    raise PermanentError(noise())


def note() -> None:
    error = ValueError("noted")
    error.add_note(noise())
    raise error


def class_name() -> None:
    raise type("V" * HUGE, (ValueError,), {})


class Mean(Exception):
    """Its text ends the process of whoever takes it for harmless."""

    def __str__(self) -> str:
        raise SystemExit


class Endless(Exception):
    """Its text never comes."""

    def __str__(self) -> str:
        while self:
            pass
        return ""


class Numb(Exception):
    """Its text is no text."""

    def __str__(self) -> str:
        seven: Any = 7
        return seven  # type: ignore[no-any-return]


def text_exits() -> None:
    raise Mean


def text_is_none() -> None:
    raise Numb


def text_never_comes() -> None:
    raise Endless


def argument_never_comes() -> None:
    raise ValueError(Endless())


def chain(links: int = 10_000) -> None:
    error: Exception = ValueError("the first of all")
    for number in range(links):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    raise error


def group(members: int = 10_000) -> None:
    raise ExceptionGroup("many", [ValueError(f"number {number}") for number in range(members)])


def nested_groups(depth: int = 10_000) -> None:
    error: Exception = ValueError("the innermost")
    for _ in range(depth):
        error = ExceptionGroup("one", [error])
    raise error


def deep(calls: int = 900) -> None:
    """Raise at the end of many frames, none like the one before."""
    namespace: dict[str, Any] = {"f0": text_is_none}
    for number in range(1, calls):
        exec(f"def f{number}(): return f{number - 1}()", namespace)
    namespace[f"f{calls - 1}"]()


def result() -> str:
    return noise()


def saves_meta() -> None:
    job = get_current_job()
    assert job is not None
    job.meta["all"] = noise()
    job.save_meta()


def reports_progress() -> None:
    context.current().progress(50, noise())


def logs_much() -> str:
    text = noise()
    get_logger().warning("job.says", text=text)
    logging.getLogger("shop").warning("it is %s", text)
    logging.getLogger("rq.worker").error("it is %s", text)
    return "said"


def harmless(value: int = 1) -> int:
    return value


def message_on_success(_job: Any, _connection: Any, _result: Any) -> None:
    message()


def message_on_failure(_job: Any, _connection: Any, *_exc_info: Any) -> None:
    message()
