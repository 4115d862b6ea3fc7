"""What names and times a job may have; everything else is refused in a sentence."""

from __future__ import annotations

import math
import re
from typing import Final, TypeGuard

from .errors import InvalidJob
from .json_text import is_text

#: Seconds or calls: nobody waits longer, and Redis counts no further.
MAX_SPAN: Final = 2**31 - 1

_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_QUEUE: Final = re.compile(r"[^\s,\x00-\x1f\x7f]{1,100}")


def check_function(name: object) -> None:
    """Raise `InvalidJob` unless `name` is dotted, like ``jobs.invoices.send_invoice``."""
    if not isinstance(name, str) or not _FUNCTION.fullmatch(name) or len(name) > 255:
        raise InvalidJob(
            "the function must be named with its module, in ASCII, such as 'jobs.invoices.send_invoice'; the "
            "producer does not need to have it"
        )


def check_queue(name: object) -> None:
    """Raise `InvalidJob` unless `name` can be a queue."""
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise InvalidJob("the queue must be a name of 1 to 100 characters without spaces and commas, such as 'default'")
    if not is_text(name):
        raise InvalidJob("the queue's name holds characters that UTF-8 cannot carry")
    if name == "dead-letter":
        raise InvalidJob("'dead-letter' holds dead letters, and no consumer reads it; name another queue")


def check_job_id(job_id: object) -> None:
    """Raise `InvalidJob` unless RQ takes `job_id`."""
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise InvalidJob("a job id must have 1 to 200 letters, digits, '-' and '_', and nothing else")


def seconds(name: str, value: object, least: int, most: int) -> int | None:
    """Return whole seconds, None for None; raises `InvalidJob`. A `least` below 0 lets -1 mean for ever."""
    if value is None:
        return None
    if not is_whole(value) or not least <= value <= most:
        ever = ", or -1 for ever" if least < 0 else ""
        raise InvalidJob(f"{name} must be whole seconds from {max(least, 0)} to {most:,}{ever}")
    return value


def check_span(name: str, value: object) -> None:
    """Raise `InvalidJob` unless `value` is a number that Redis and clocks know: a deadline, a limit or an age."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SPAN:
        raise InvalidJob(f"{name} must be a number from 0 to {MAX_SPAN:,}")


def check_wait(seconds: object) -> None:
    """Raise `InvalidJob` unless one can wait for so long; infinity means for ever."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds):
        raise InvalidJob("seconds must be a number")


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether `value` is a whole number, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_text(what: str, value: object, most: int) -> str:
    """Return `value` if it is a text of 1 to `most` characters; raises `InvalidJob`, which calls it `what`."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or not is_text(value):
        raise InvalidJob(f"{what} must be a text of 1 to {most} characters")
    return value


def check_name(what: str, value: object) -> str:
    """Return `value` if it can be part of a key that tools show; raises `InvalidJob`, which calls it `what`."""
    if not isinstance(value, str) or not _QUEUE.fullmatch(value) or not is_text(value):
        raise InvalidJob(f"{what} must be a name of 1 to 100 characters without spaces and commas")
    return value
