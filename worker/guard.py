"""A job's timeout in the main thread: SIGALRM raises RQ's `JobTimeoutException` in the job.

A job that swallows the exception, or sits in native code, is ended by the supervisor.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Final

from rq.timeouts import BaseDeathPenalty, JobTimeoutException

#: Between two alarms after the timeout.
ALARM_SECONDS: Final = 0.5


class Guard(BaseDeathPenalty):  # type: ignore[misc]  # rq is untyped here
    """Limits the code in its ``with`` block to `timeout` seconds; 0 or less means no limit.

    An RQ "death penalty", for RQ's own finishing code too. Unlike RQ's it takes fractions of a second and leaves the
    handler in place: a signal that comes late must not kill the process. The alarm goes on ringing, because a thread of
    the job may have got the first one (`signals.deaf`); the exception is raised once.
    """

    def __init__(self, timeout: float, exception: type[BaseException] = JobTimeoutException, **_ignored: Any) -> None:
        self._timeout = timeout
        self._exception = exception
        self._raised = False

    def setup_death_penalty(self) -> None:
        """Start the clock; the handler is set anew each time, because job code may have set its own."""
        if self._timeout > 0:
            signal.signal(signal.SIGALRM, self.handle_death_penalty)
            signal.setitimer(signal.ITIMER_REAL, self._timeout, ALARM_SECONDS)

    def cancel_death_penalty(self) -> None:
        """Stop the clock."""
        if self._timeout > 0:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def handle_death_penalty(self, _number: int, _frame: FrameType | None) -> None:
        """Raise in whatever the main thread is doing."""
        if self._raised:
            return
        self._raised = True
        raise self._exception(f"The job exceeded its timeout of {self._timeout:g} seconds")
