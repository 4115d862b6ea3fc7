"""What names, times and values a job may have; everything else is refused in a sentence."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, TypeGuard

from .errors import InvalidJob

MAX_DEPTH: Final = 50
#: JSON numbers beyond it change in other languages, and Python refuses to read very long ones.
MAX_INTEGER: Final = 2**63
#: Seconds or calls: nobody waits longer, and Redis counts no further.
MAX_SPAN: Final = 2**31 - 1

_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_QUEUE: Final = re.compile(r"[^\s,\x00-\x1f\x7f]{1,100}")


def check_function(name: object) -> None:
    """Raise `InvalidJob` unless `name` is dotted, like ``jobs.products.analyze_product``."""
    if not isinstance(name, str) or not _FUNCTION.fullmatch(name) or len(name) > 255:
        raise InvalidJob(
            "the function must be named with its module, in ASCII, such as 'jobs.products.analyze_product'; the "
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


def is_text(value: str) -> bool:
    """Tell whether UTF-8 can carry `value`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_text(value: Any, what: str, most: int) -> str:
    """Return `value` as JSON of at most `most` bytes; raises `InvalidJob`, which calls it `what`."""
    _check_plain(value, what, 0)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    size = len(text.encode())
    if size > most:
        raise InvalidJob(
            f"{what} have {size:,} bytes as JSON, and at most {most:,} are taken; store them elsewhere and pass a link"
        )
    return text


def _check_plain(value: Any, what: str, depth: int) -> None:
    """Raise `InvalidJob` unless JSON carries `value` unchanged (tuples arrive as lists)."""
    if depth > MAX_DEPTH:
        raise InvalidJob(f"{what} are nested more than {MAX_DEPTH} levels deep, or contain themselves")
    if isinstance(value, str):
        if not is_text(value):
            raise InvalidJob(f"{what} hold a text with half a character (a lone surrogate) in it")
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidJob(f"{what} hold a whole number beyond 2^63; pass it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJob(f"{what} hold {value}, which JSON cannot carry")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, what, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidJob(f"{what} hold an object with a key of type {type(key).__name__}; JSON has only texts")
            _check_plain(key, what, depth + 1)
            _check_plain(item, what, depth + 1)
    else:
        raise InvalidJob(
            f"{what} hold a value of type {type(value).__name__}, which JSON cannot carry; pass texts, numbers, "
            f"booleans, None, lists and dicts"
        )
