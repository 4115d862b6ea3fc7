"""Waiting for a condition instead of sleeping a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Between two looks at a condition.
LOOK_SECONDS = 0.02
#: What a loaded machine, which may stand still for seconds, may add to a time that is promised.
SLACK_SECONDS = 15.0
#: What is bound to come may take so long. A deadline that is too short makes a busy machine a failure, a long one costs
#: nothing but time, and only when something is wrong.
PATIENCE_SECONDS = 60.0


def eventually(predicate: Callable[[], T], timeout: float = PATIENCE_SECONDS, *, what: str = "") -> T:
    """Return the predicate's first true value; fail after `timeout` seconds, naming `what` and its last value.

    An `AssertionError` inside the predicate counts as "not yet" and is shown when time is over.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = predicate()
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() >= deadline:
            subject = what or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"{subject} did not come true within {timeout} s; last: {last!r}")
        time.sleep(LOOK_SECONDS)
