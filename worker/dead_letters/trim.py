"""Keep the dead-letter queue in order: within its bounds, and without ids of jobs that are gone or run again.

RQ's own commands leave such ids: they delete or requeue a job, and do not know that its id is on this queue too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from worker import logs
from worker.dead_letters.changes import Changes
from worker.dead_letters.letter import DeadLetter, Page
from worker.dead_letters.queue import PAGE, DeadLetterQueue
from worker.redis import scripts

log = logs.get_logger()

#: Letters that one script deletes.
BATCH: Final = 100


@dataclass(slots=True)
class Census:
    """What a pass found. `oldest` and `now` are Unix seconds by the server's clock; `oldest` is 0 if there is none."""

    now: float = 0.0
    oldest: float = 0.0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (queue, reason) → letters
    letters: int = 0

    def count(self, letter: DeadLetter) -> None:
        """Add a letter; they come in the order of the queue, which is that of their burials."""
        self.letters += 1
        self.kinds[(letter.origin, letter.reason)] += 1
        if letter.moment and not self.oldest:
            self.oldest = letter.moment

    def forget(self, oldest: list[DeadLetter]) -> None:
        """Take off the oldest letters."""
        for letter in oldest:
            self.letters -= 1
            self.kinds[(letter.origin, letter.reason)] -= 1
            self.oldest = max(self.oldest, letter.moment)


class Trim:
    """`on_letter` gets every letter that stays, with the server's time; `on_census` gets the census of each pass."""

    def __init__(
        self,
        changes: Changes,
        max_age: int,
        max_jobs: int,
        on_letter: Callable[[DeadLetter, float], None] = lambda _letter, _now: None,
        on_census: Callable[[Census], None] = lambda _census: None,
    ) -> None:
        self._changes = changes
        self._dead_letters: DeadLetterQueue = changes.dead_letters
        self._max_age = max_age
        self._max_jobs = max_jobs
        self._on_letter = on_letter
        self._on_census = on_census

    def steps(self) -> Iterator[None]:
        """Go through the queue once, a page at a time, from the oldest letter on.

        Far above the bound, the oldest go before anything is looked at: more may come than a pass goes through.
        """
        while (excess := self._dead_letters.count() - self._max_jobs) > self._max_jobs:
            page = self._dead_letters.page(0, min(PAGE, excess) - 1)
            if not self._sweep(page) + self._trim("count", page.letters):
                break
            yield
        census, trimmed = Census(now=self._dead_letters.now()), Counter[str]()
        first, left = 0, self._dead_letters.count()
        while left > 0:
            page = self._dead_letters.page(first, first + min(PAGE, left) - 1)
            swept = self._sweep(page)  # before anything is trimmed: it uses the ids' indexes
            gone = self._trim("age", self._too_old(page.letters, census))
            trimmed["age"] += gone
            first += page.seen - swept - gone
            left = left - page.seen if page.seen else 0
            yield
        while (excess := census.letters - self._max_jobs) > 0:
            oldest = self._dead_letters.page(0, min(PAGE, excess) - 1).letters
            gone = self._trim("count", oldest)
            trimmed["count"] += gone
            if not gone:
                break
            census.forget(oldest[:gone])
            yield
        self._report(trimmed, census)

    def cut(self) -> int:
        """Delete the oldest letters beyond the bound, at most a page, and look at no others; returns how many."""
        excess = self._dead_letters.count() - self._max_jobs
        if excess <= 0:
            return 0
        page = self._dead_letters.page(0, min(PAGE, excess) - 1)
        return self._sweep(page) + self._trim("count", page.letters)

    def _too_old(self, letters: list[DeadLetter], census: Census) -> list[DeadLetter]:
        """Return the letters that are too old, and count the others."""
        too_old = []
        for letter in letters:
            if 0 < letter.moment < census.now - self._max_age:
                too_old.append(letter)
            else:
                census.count(letter)
                self._on_letter(letter, census.now)
        return too_old

    def _sweep(self, page: Page) -> int:
        if not page.stale:
            return 0
        swept = int(self._dead_letters.call(scripts.SWEEP, *(value for pair in page.stale for value in pair)))
        log.info("dead_letters.swept", ids=swept)
        return swept

    def _trim(self, why: str, letters: list[DeadLetter]) -> int:
        gone = 0
        for at in range(0, len(letters), BATCH):
            gone += sum(self._changes.discard(letters[at : at + BATCH], action=f"trim by {why}"))
        return gone

    def _report(self, trimmed: Counter[str], census: Census) -> None:
        if trimmed.total():
            by = {f"by_{why}": count for why, count in trimmed.items()}
            log.warning("dead_letters.trimmed", jobs=trimmed.total(), **by, left=census.letters)
        self._on_census(census)
