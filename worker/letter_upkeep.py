"""Keeping the dead-letter queue in order: within its bounds, and without ids whose job is gone or runs again.

Whoever deletes or requeues a job with RQ's own means does not know that its id stands on that queue too. A page is gone
through at a time, from the oldest letter on, so that the dispatcher's loop goes on turning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from worker import logs, scripts
from worker.letter_actions import Actions
from worker.letter_box import PAGE, Letter, LetterBox

log = logs.get_logger()

#: Between two passes while something changes.
UPKEEP_SECONDS: Final = 30.0
#: Between two passes while length, head and tail of the queue stay the same.
IDLE_SECONDS: Final = 300.0
#: Letters that one script deletes.
BATCH: Final = 100


@dataclass(slots=True)
class Census:
    """What a pass saw. `oldest` and `now` are Unix seconds by the server's clock; `oldest` is 0 when there is none."""

    now: float = 0.0
    oldest: float = 0.0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (queue, reason) → letters
    letters: int = 0

    def count(self, letter: Letter) -> None:
        """Add a letter; they come in the order of the queue, which is that of their burials."""
        self.letters += 1
        self.kinds[(letter.origin, letter.reason)] += 1
        if letter.moment and not self.oldest:
            self.oldest = letter.moment

    def forget(self, letter: Letter) -> None:
        """Take off the oldest letter."""
        self.letters -= 1
        self.kinds[(letter.origin, letter.reason)] -= 1
        self.oldest = max(self.oldest, letter.moment)


class Upkeep:
    """A chore. `see` gets every letter that a pass comes by and does not find too old, `tell` each pass's census."""

    def __init__(
        self,
        actions: Actions,
        max_age: int,
        max_jobs: int,
        see: Callable[[Letter], None] = lambda _letter: None,
        tell: Callable[[Census], None] = lambda _census: None,
    ) -> None:
        self.due = 0.0
        self._actions = actions
        self._box: LetterBox = actions.box
        self._max_age = max_age
        self._max_jobs = max_jobs
        self._see = see
        self._tell = tell
        self._census = Census()
        self._passed_at = float("-inf")
        self._mark: tuple[int, bytes, bytes] | None = None
        self._next = -1  #: index of the next page; -1 = no pass is under way
        self._left = 0  #: ids that this pass has still to look at
        self._trimmed: Counter[str] = Counter()

    def run(self) -> None:
        """Do one step of a pass, or begin one if anything may have changed."""
        self.due = monotonic()
        if self._next < 0 and not self._begin():
            self.due = monotonic() + UPKEEP_SECONDS
            return
        if self._left > 0:
            self._go_through_page()
        elif (excess := self._census.letters - self._max_jobs) > 0 and self._shorten(excess):
            return
        else:
            self._end()

    def _begin(self) -> bool:
        mark = self._marks()
        if mark == self._mark and monotonic() - self._passed_at < IDLE_SECONDS:
            return False
        self._mark = mark
        self._next, self._left = 0, mark[0]
        self._census = Census(now=self._box.now())
        return True

    def _go_through_page(self) -> None:
        page = self._box.page(self._next, self._next + min(PAGE, self._left) - 1)
        swept = self._sweep(page.stale)
        too_old = []
        for letter in page.letters:
            if 0 < letter.moment < self._census.now - self._max_age:
                too_old.append(letter)
            else:
                self._census.count(letter)
                self._see(letter)
        gone = self._trim("age", too_old)
        self._left = self._left - page.seen if page.seen else 0
        self._next += page.seen - swept - gone

    def _shorten(self, excess: int) -> int:
        """Delete a page of the oldest letters; returns how many went. The pass has swept what does not count."""
        page = self._box.page(0, min(PAGE, excess) - 1)
        gone = self._trim("count", page.letters)
        for letter in page.letters[:gone]:
            self._census.forget(letter)
        return gone

    def _sweep(self, stale: list[tuple[int, str]]) -> int:
        if not stale:
            return 0
        swept = int(self._box.call(scripts.SWEEP, *(value for pair in stale for value in pair)))
        log.info("dead_letters.swept", ids=swept)
        return swept

    def _trim(self, why: str, letters: list[Letter]) -> int:
        gone = 0
        for at in range(0, len(letters), BATCH):
            gone += sum(self._actions.discard(letters[at : at + BATCH], action=f"trim by {why}"))
        self._trimmed[why] += gone
        return gone

    def _end(self) -> None:
        self._next = -1
        self._passed_at = monotonic()
        self._mark = self._marks() if self._trimmed.total() else self._mark
        if self._trimmed.total():
            by = {f"by_{why}": count for why, count in self._trimmed.items()}
            log.warning("dead_letters.trimmed", jobs=self._trimmed.total(), **by, left=self._census.letters)
            self._trimmed.clear()
        self._tell(self._census)
        self.due = monotonic() + UPKEEP_SECONDS

    def _marks(self) -> tuple[int, bytes, bytes]:
        """Return what changes when letters come or go: length, head and tail of the queue."""
        key = f"{self._box.prefix}:queue:{self._box.queue}"
        with self._box.redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(key)
            pipeline.lindex(key, 0)
            pipeline.lindex(key, -1)
            length, head, tail = pipeline.execute()
        return length, head, tail
