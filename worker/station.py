"""Where job code runs in a consumer, and how it is ended there: timeout, hard stop, stop-job command.

In the main thread signals do it. In a crew thread (`WORKER_THREADS` > 1, see ``crew.py``) an asynchronous exception
does. Either way the code between `begin` and `end` may be interrupted by an exception that nobody in it raised.
"""

from __future__ import annotations

from typing import Protocol

from worker.exchange import Claim
from worker.guard import Guard
from worker.signals import Child, JobStopped, ShutdownRequested
from worker.slot import Slot


class Station(Protocol):
    """Brackets one job's code."""

    def begin(self, claim: Claim, timeout: float) -> None:
        """Start the job's clock (seconds; 0 or less = none) and put it on the scoreboard."""
        ...

    def end(self) -> None:
        """Stop the clock; after this nothing is raised from outside."""
        ...


class MainStation:
    """The consumer's main thread: one job at a time."""

    def __init__(self, slot: Slot, child: Child) -> None:
        self._slot = slot
        self._child = child
        self._guard = Guard(0)
        child.ordered = lambda: bool(slot.ordered(slot.job_id.decode(), slot.execution_id.decode()))

    def begin(self, claim: Claim, timeout: float) -> None:
        """Let SIGALRM, a hard stop and an order raise from here on."""
        self._slot.begin_job(claim.job_id, claim.execution_id, timeout)
        self._child.interruptible = True
        if self._child.hard:
            raise ShutdownRequested
        if self._slot.order and self._slot.ordered(claim.job_id, claim.execution_id):
            raise JobStopped
        self._guard = Guard(timeout)
        self._guard.setup_death_penalty()

    def end(self) -> None:
        """Let nothing raise any more."""
        self._child.interruptible = False
        self._guard.cancel_death_penalty()
        self._slot.end_job()
