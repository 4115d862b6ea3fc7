"""Dead letters for the pages: by cause, one after the other, and what a filter means, in a bounded time a page.

There may be a hundred thousand. A *survey* goes through all of them in a thread, and pages show how far it has come.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from worker.dead_letters.filter import Filter
from worker.dead_letters.groups import Group
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.redis.trouble import RedisTrouble

#: Letters that one call reads here: less than a millisecond of the server's time.
BATCH: Final = 40
#: How long a page waits for its survey, and for the letters of a filter.
PATIENCE_SECONDS: Final = 0.15
#: The surveyor rests so long after each batch: pages and probes of this process go first.
REST_SECONDS: Final = 0.001
#: A survey is made anew when it is older than this, and than so many times what it took.
FRESH_SECONDS: Final = 5.0
FRESH_TIMES: Final = 10.0
#: Kinds that are told apart, letters that are shown as a sample, and surveys that are kept.
MOST_KINDS: Final = 500
SAMPLE: Final = 10
MOST_KEPT: Final = 8
#: How long the end waits for a batch that is under way.
_STOP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in the newest `looked_at` of `of` letters: `total` that match, by kind, and the newest of them.

    `more` of them are of kinds beyond `MOST_KINDS`. With a `trouble`, Redis failed over it.
    """

    of: int = 0
    looked_at: int = 0
    total: int = 0
    kinds: tuple[Group, ...] = ()
    sample: tuple[DeadLetter, ...] = ()
    more: int = 0
    finished: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Letters:
    """Letters that match, the newest first; `looked_at` ids were read for them. `before` goes on; None = no more."""

    letters: tuple[DeadLetter, ...]
    looked_at: int
    of: int
    before: int | None


class Surveys:
    """The surveys that were asked for last, by filter."""

    def __init__(self, dead_letters: Callable[[], DeadLetterQueue]) -> None:
        self._dead_letters = dead_letters
        self._lock = threading.Lock()
        self._surveyors: OrderedDict[Filter, _Surveyor] = OrderedDict()

    def look(self, chosen: Filter) -> Survey:
        """Return the survey of a filter, as far as it has come."""
        with self._lock:
            found = self._surveyors.get(chosen)
            if found is None or found.is_old():
                found = self._surveyors[chosen] = _Surveyor(self._dead_letters(), chosen)
                found.thread.start()
            self._surveyors.move_to_end(chosen)
            while len(self._surveyors) > MOST_KEPT:
                self._surveyors.popitem(last=False)[1].dropped = True
        found.thread.join(PATIENCE_SECONDS)
        return found.survey

    def close(self) -> None:
        """End the surveys that go on: they use connections that are closed next."""
        with self._lock:
            surveyors = list(self._surveyors.values())
        self.forget()
        for surveyor in surveyors:
            surveyor.thread.join(_STOP_SECONDS)

    def forget(self) -> None:
        """Survey anew at the next look, because somebody has changed something."""
        with self._lock:
            for surveyor in self._surveyors.values():
                surveyor.dropped = True
            self._surveyors.clear()


class _Surveyor:
    def __init__(self, dead_letters: DeadLetterQueue, chosen: Filter) -> None:
        self.survey = Survey()
        self.dropped = False
        self.thread = threading.Thread(target=self._run, name="survey", daemon=True)
        self._dead_letters = dead_letters
        self._chosen = chosen
        self._kinds: dict[tuple[str, str], Group] = {}
        self._sample: list[DeadLetter] = []
        self._total = self._more = 0
        self._began = monotonic()
        self._ended: float | None = None

    def is_old(self) -> bool:
        """Whether it is time for a new one."""
        if self._ended is None:
            return False
        return monotonic() - self._ended > max(FRESH_SECONDS, FRESH_TIMES * (self._ended - self._began))

    def _run(self) -> None:
        trouble = ""
        try:
            self._go_through()
        except RedisTrouble as problem:
            trouble = f"{problem.trouble.sentence} {problem.trouble.fix}"
        self.survey = self._so_far(self.survey.of, self.survey.looked_at, finished=not trouble, trouble=trouble)
        self._ended = monotonic()

    def _go_through(self) -> None:
        of = self._dead_letters.count()
        pause = threading.Event()
        for last in range(of - 1, -1, -BATCH):
            if self.dropped:
                return
            first = max(0, last - BATCH + 1)
            page = self._dead_letters.page(first, last, self._chosen.needles())
            for letter in self._chosen.among(reversed(page.letters)):
                self._add(letter)
            self.survey = self._so_far(of, of - first)
            pause.wait(REST_SECONDS)

    def _add(self, letter: DeadLetter) -> None:
        self._total += 1
        if len(self._sample) < SAMPLE:
            self._sample.append(letter)
        key = letter.fingerprint, "" if letter.fingerprint else letter.reason
        kind = self._kinds.get(key)
        if kind is None and len(self._kinds) >= MOST_KINDS:
            self._more += 1
            return
        if kind is None:
            kind = self._kinds[key] = Group(letter)
        kind.add(letter)

    def _so_far(self, of: int, looked_at: int, *, finished: bool = False, trouble: str = "") -> Survey:
        kinds = tuple(sorted(self._kinds.values(), key=lambda kind: -kind.count))
        return Survey(of, looked_at, self._total, kinds, tuple(self._sample), self._more, finished, trouble)


def letters(dead_letters: DeadLetterQueue, chosen: Filter, before: int | None, most: int) -> Letters:
    """Read the newest letters that match, of those before index `before` (None: of all), within the patience.

    They are read some at a time and those of one reading are kept together, so there may be some more.
    """
    of = dead_letters.count()
    last = of - 1 if before is None else min(before, of) - 1
    found: list[DeadLetter] = []
    until, looked_at = monotonic() + PATIENCE_SECONDS, 0
    while last >= 0 and len(found) < most and (not looked_at or monotonic() < until):
        first = max(0, last + 1 - (BATCH if chosen else min(BATCH, most - len(found))))
        page = dead_letters.page(first, last, chosen.needles())
        found += chosen.among(reversed(page.letters))
        looked_at += last - first + 1
        last = first - 1
    return Letters(tuple(found), looked_at, of, last + 1 if last >= 0 else None)
