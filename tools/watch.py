"""Keep probing Redis, report every change, and sum up at the end: catches short outages."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from time import monotonic
from typing import Any, Final

import click

from tools.probe import Prober, ProbeResult
from worker.diagnosis.case import Case
from worker.diagnosis.course import STEPS, diagnose
from worker.diagnosis.steps.latency import summary
from worker.diagnosis.text import Printer
from worker.redis.trouble import RedisTrouble
from worker.text import counted

#: An answer is slow when it takes this many times the usual, and more than `_SLOW_SECONDS`.
_SLOW_FACTOR: Final = 10
_SLOW_SECONDS: Final = 0.05
#: How many of the last answers define "usual", and how many the summary covers.
_USUAL_PROBES: Final = 100
_REMEMBERED: Final = 100_000


def watch(case: Case, *, interval: float, seconds: float | None, as_json: bool) -> int:
    """Probe until Ctrl-C, SIGTERM or the end of `seconds`; returns 1 when anything went wrong, else 0.

    A URL that cannot work is reported at once; its step's exit code is returned.
    """
    first = diagnose(case, STEPS[:1])
    if first.exit_code:
        printer = Printer()
        printer.step(first.steps[0])
        return first.exit_code
    story = Story(as_json)
    prober = Prober(case)
    until = monotonic() + seconds if seconds is not None else float("inf")
    with _stop_event() as stop:
        while not stop.is_set() and monotonic() < until:
            began = monotonic()
            story.take(prober.probe())
            stop.wait(max(0.0, min(began + interval, until) - monotonic()))
    prober.close()
    return story.end()


@dataclass(slots=True)
class Story:
    """What was seen so far; reports each change once."""

    as_json: bool
    began: float = field(default_factory=monotonic)
    probes: int = 0
    failed: int = 0
    answers: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    causes: Counter[str] = field(default_factory=Counter)
    outages: list[float] = field(default_factory=list)
    last: ProbeResult | None = None
    known: ProbeResult | None = None  #: the last one that was good
    down_since: float | None = None
    restarts: int = 0
    cuts: int = 0
    slow: int = 0

    def take(self, seen: ProbeResult) -> None:
        """Take in one probe."""
        self.probes += 1
        before, self.last = self.last, seen
        if seen.trouble is not None:
            self.failed += 1
            self._failed(seen.trouble, before)
            return
        if self.down_since is not None:
            self.outages.append(monotonic() - self.down_since)
            self.down_since = None
            self._say("back", f"✓ back after {self.outages[-1]:.1f} s", seconds=round(self.outages[-1], 3))
        elif before is None:
            self._say("up", f"✓ answers in {seen.seconds * 1000:.1f} ms; probing goes on until Ctrl-C")
        self._changes(seen)
        self._speed(seen)

    def end(self) -> int:
        """Sum up; returns the exit code."""
        if self.down_since is not None:
            self.outages.append(monotonic() - self.down_since)
        figures: dict[str, Any] = {
            "probes": self.probes,
            "failed": self.failed,
            "seconds": round(monotonic() - self.began, 1),
            "outages": len(self.outages),
            "longest_outage_seconds": round(max(self.outages, default=0.0), 3),
            "causes": dict(self.causes),
            "connections_cut": self.cuts,
            "restarts": self.restarts,
            "slow_answers": self.slow,
        }
        if self.answers:
            figures["answer_ms"] = summary([seconds * 1000 for seconds in self.answers])
        self._say("summary", self._summary(figures), **figures)
        return int(bool(self.failed or self.cuts or self.restarts))

    def _failed(self, reason: RedisTrouble, before: ProbeResult | None) -> None:
        if self.down_since is None:
            self.down_since = monotonic()
        if before is None or before.trouble is None or before.trouble.code != reason.code:
            self.causes[reason.code] += 1
            words = f"✗ {reason.code}: {reason.trouble.sentence} {reason.trouble.fix}"
            self._say("down", words, code=reason.code)

    def _changes(self, seen: ProbeResult) -> None:
        if seen.cut:
            self.cuts += 1
            self._say("cut", "! a connection that was held open was cut")
        known, self.known = self.known, seen
        if known is None:
            return
        if seen.addresses != known.addresses:
            old, new = (", ".join(sorted(each.addresses)) for each in (known, seen))
            self._say("addresses", f"! the name has other addresses now: {old} → {new}")
        if seen.role != known.role:
            self._say("role", f"! the role changed: {known.role} → {seen.role}", role=seen.role)
        if seen.run_id and known.run_id and seen.run_id != known.run_id:
            self.restarts += 1
            self._say("restart", "! the server was restarted, or another one answers")

    def _speed(self, seen: ProbeResult) -> None:
        usual = median(list(self.answers)[-_USUAL_PROBES:]) if self.answers else seen.seconds
        if seen.seconds > max(_SLOW_SECONDS, _SLOW_FACTOR * usual):
            self.slow += 1
            words = f"! connecting and a PING took {seen.seconds * 1000:.0f} ms, {usual * 1000:.1f} ms are usual"
            self._say("slow", words, seconds=round(seen.seconds, 6))
        self.answers.append(seen.seconds)

    def _say(self, event: str, words: str, **fields: Any) -> None:
        now = datetime.now(UTC)
        if self.as_json:
            click.echo(json.dumps({"at": now.isoformat(timespec="milliseconds"), "event": event, **fields}))
        else:
            click.echo(f"{now:%H:%M:%S}.{now.microsecond // 1000:03d}  {words}")

    def _summary(self, figures: dict[str, Any]) -> str:
        words = f"{counted(self.probes, 'probe')} in {figures['seconds']} s: {self.failed} failed, "
        words += counted(figures["outages"], "outage")
        if self.outages:
            causes = ", ".join(f"{code} × {count}" for code, count in sorted(self.causes.items()))
            words += f" (longest {figures['longest_outage_seconds']:.1f} s; {causes})"
        rest = (counted(self.cuts, "cut"), counted(self.restarts, "restart"), counted(self.slow, "slow answer"))
        words += "".join(f", {part}" for part in rest)
        if "answer_ms" in figures:
            took = figures["answer_ms"]
            words += f"; connect and PING p50 {took['p50']:.2f} ms, p99 {took['p99']:.2f}, max {took['max']:.2f}"
        return words


@contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Set an event on Ctrl-C and SIGTERM, so that the summary is always printed."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
