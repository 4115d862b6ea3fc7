"""Go through the dead letters and change some, in batches, while others do the same.

Memory stays flat: a page at a time is read, the oldest letters first. Letters that are buried after the beginning are
left alone, so that a job which fails again at once is not replayed for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import PAGE, DeadLetterQueue

#: Letters that one script changes: some milliseconds of the server's time.
BATCH: Final = 100
#: When others remove letters meanwhile, indexes shift and a pass skips some. So we pass again until nothing is left to
#: do, at most this many times.
MOST_PASSES: Final = 10


@dataclass(slots=True)
class Tally:
    """How far a command has come. `gone` counts letters that another command changed first."""

    done: int = 0
    gone: int = 0
    stopped: bool = False

    @property
    def tried(self) -> int:
        """Return how many letters we have tried to change."""
        return self.done + self.gone


class Throttle:
    """Lets `per_second` letters pass; None means no limit. `wait` sleeps and returns False when it was interrupted."""

    def __init__(self, per_second: float | None, wait: Callable[[float], bool]) -> None:
        self._per_second = per_second
        self._wait = wait
        self._free_at = monotonic()

    @property
    def batch(self) -> int:
        """Return how many letters to change at once: about a fifth of a second's worth, so that the rate is smooth."""
        return BATCH if self._per_second is None else max(1, min(BATCH, int(self._per_second / 5)))

    def admit(self, count: int) -> bool:
        """Wait until `count` more may pass; False when the wait was interrupted."""
        now = monotonic()
        if not self._wait(max(0.0, self._free_at - now)):
            return False
        if self._per_second is not None:
            self._free_at = max(self._free_at, monotonic()) + count / self._per_second
        return True


class Batches:
    """Goes through the letters that match `chosen`; `act` changes some and returns which of them it changed."""

    def __init__(
        self,
        dead_letters: DeadLetterQueue,
        chosen: Filter,
        act: Callable[[Sequence[DeadLetter]], list[bool]],
        *,
        throttle: Throttle,
        limit: int | None = None,
    ) -> None:
        self.tally = Tally()
        self.limit = limit  #: most letters to change; may be raised to go on
        self._dead_letters = dead_letters
        self._chosen = chosen
        self._act = act
        self._throttle = throttle
        self._began: float | None = None

    def over(self, letters: Sequence[DeadLetter]) -> Iterator[list[str]]:
        """Change these letters; yields the ids of those that were changed, batch by batch."""
        at = 0
        while at < len(letters) and (room := self._room()):
            batch = letters[at : at + room]
            if not self._throttle.admit(len(batch)):
                self.tally.stopped = True
                return
            changed = self._act(batch)
            at += len(batch)
            self.tally.done += sum(changed)
            self.tally.gone += len(batch) - sum(changed)
            yield [letter.job_id for letter, taken in zip(batch, changed, strict=True) if taken]

    def through_all(self) -> Iterator[list[str]]:
        """Change every letter that matches; yields the ids of those that were changed, batch by batch."""
        self._began = self._began or self._dead_letters.now()
        for _ in range(MOST_PASSES):
            before = self.tally.done
            yield from self._pass(self._dead_letters.count())
            if self.tally.stopped or not self._room() or self.tally.done == before:
                return

    def _pass(self, length: int) -> Iterator[list[str]]:
        """Go once, from the head, through the `length` ids that were there; what we remove shifts the rest forward."""
        first, left = 0, length
        while left > 0 and self._room() and not self.tally.stopped:
            page = self._dead_letters.page(first, first + min(PAGE, left) - 1, self._chosen.needles())
            if not page.seen:
                return
            matching = [letter for letter in page.letters if self._chosen.matches(letter) and self._is_old(letter)]
            before = self.tally.done
            yield from self.over(matching)
            first += page.seen - (self.tally.done - before)
            left -= page.seen

    def _is_old(self, letter: DeadLetter) -> bool:
        return self._began is None or letter.moment <= self._began

    def _room(self) -> int:
        """Return the size of the next batch."""
        return self._throttle.batch if self.limit is None else min(self._throttle.batch, self.limit - self.tally.done)
