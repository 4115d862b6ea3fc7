"""The chore that keeps RQ's registries in order (``engine/registries.py``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

from worker.engine.registries import steps
from worker.redis.calls import ScriptCalls

#: Interval of regular passes while jobs finish: RQ's `maintenance_interval`.
PASS_SECONDS: Final = 600.0
#: Interval while no jobs finish. Results still expire, but each command may be billed.
IDLE_SECONDS: Final = 3600.0
#: After a pass of any instance the others skip their regular one for this long.
SPARE_SECONDS: Final = 540
#: From a death, or an outage, to the pass that clears up after it: more than a minute (``scripts/maintain.lua``).
AFTER_SECONDS: Final = 70.0


class Maintenance:
    """The chore of one instance. It takes a pass in steps, so that other chores need not wait for the whole of it.

    A pass is due soon after the start, after Redis came back and after a worker died; while jobs end, also every ten
    minutes. `deaths` counts the workers that died as far as this instance knows, `ended` the jobs that ended here.
    """

    def __init__(self, calls: ScriptCalls, deaths: Callable[[], int], ended: Callable[[], int]) -> None:
        self._calls = calls
        self._deaths = deaths
        self._ended = ended
        self._deaths_seen, self._ended_seen = deaths(), ended()
        self._began = monotonic()
        self._due = math.inf
        #: Earliest time of the next pass that an event calls for, and the latest such time noted so far.
        self._called = self._called_last = self._began + AFTER_SECONDS
        self._pass: Iterator[None] | None = None

    @property
    def due(self) -> float:
        """When to take the next pass, or the next step (monotonic)."""
        if (deaths := self._deaths()) != self._deaths_seen:
            self._deaths_seen = deaths
            self._called_last = monotonic() + AFTER_SECONDS
            self._called = min(self._called, self._called_last)
        if self._pass is not None:
            return self._due
        busy = self._ended() != self._ended_seen
        return min(self._due, self._called, self._began + PASS_SECONDS if busy else math.inf)

    def run(self) -> None:
        """Take the next step of a pass, the first one of a new pass if there is none."""
        if self._pass is None:
            self._began = self._due = monotonic()
            self._ended_seen = self._ended()
            self._pass = steps(self._calls, called_for=self._called <= self._began, spare=SPARE_SECONDS)
            if self._called <= self._began:
                self._called = self._called_last if self._called_last > self._began else math.inf
        try:
            over = next(self._pass, _OVER) is _OVER
        except Exception:
            self._pass, self._called = None, self._began  # a pass that broke off is not done: it is called for anew
            raise
        if over:
            self._pass = None
            self._due = monotonic() + IDLE_SECONDS


_OVER: Final = object()
