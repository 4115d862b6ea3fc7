"""The dispatcher's chore about dead letters: collect what others failed, then keep the queue in order and in bounds.

Each instance looks, with one command, whether anything has changed. Only then one of them, the leader, goes through
registries and queue. Every step is idempotent: the lead saves work, it guards nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import Final, Protocol

from worker import logs
from worker.dead_letters.alerts import Alerts
from worker.dead_letters.changes import Changes
from worker.dead_letters.collect import Collect
from worker.dead_letters.queue import DeadLetterQueue
from worker.dead_letters.trim import Census, Trim
from worker.dispatcher.leader import Lead, Leadership, NotLeader
from worker.engine.payload import Payloads
from worker.process.scoreboard import Scoreboard
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.settings import Settings

log = logs.get_logger()

#: A full pass follows after this many looks that found nothing new, because letters also expire by age.
IDLE_LOOKS: Final = 20


#: From the end of one pass to the next look where jobs fail faster than the usual looks can bound.
PRESSING_SECONDS: Final = 1.0
#: So many burials in this instance since its last pass, or a tenth of the bound, press.
PRESSING_LEAST: Final = 100


class Part(Protocol):
    """Work that is done in steps; between two of them the dispatcher's loop goes on."""

    def steps(self) -> Iterator[None]:
        """Do all of it once."""
        ...


class DeadLetterChore:
    """Calls `look` every `every` seconds; when its text changes, a pass does all `parts` in their order.

    `unchanged` is called when a look returns the same text as the one before this instance's last pass. `pressing` says
    whether jobs are buried so fast that the next look cannot wait; it gets when the last pass ended (monotonic). Such a
    pass waits for no lead either: the leader may be an instance in which nothing fails, and looks seldom.
    """

    name = "dead-letters"

    def __init__(
        self,
        leadership: Leadership,
        look: Callable[[], str],
        parts: Sequence[Part],
        *,
        every: float,
        unchanged: Callable[[], None] = lambda: None,
        pressing: Callable[[float], bool] = lambda _since: False,
    ) -> None:
        self._due = 0.0
        self._pressing = pressing
        self._ended_at = 0.0
        self._leadership = leadership
        self._look = look
        self._parts = parts
        self._every = every
        self._unchanged = unchanged
        self._marks = self._seen = ""
        self._seen_at = float("-inf")
        self._pass: Iterator[None] | None = None
        self._led = True  #: whether this pass needs the lead
        self.expires_at = float("inf")  #: when (monotonic) the oldest letter of the last pass is too old

    @property
    def due(self) -> float:
        """When to look next, or to take the next step: soon where so many jobs fail that the bound would not hold."""
        if self._pass is not None:
            return self._due
        soon = self._ended_at + PRESSING_SECONDS
        return min(self._due, soon if self._pressing(self._ended_at) else max(soon, self.expires_at))

    def run(self) -> None:
        """Look, or take the next step of a pass."""
        if self._pass is None:
            self._led = not self._pressing(self._ended_at)
            if not self._begin():
                self._ended_at = monotonic()
                self._due = self._ended_at + self._every
                return
        lead = self._leadership.take(self.name) if self._led else None
        if isinstance(lead, float):  # another instance does it; if it fails, our next look finds the change again
            self._pass = None
            now = monotonic()
            self._due = now + self._every
            if self.expires_at <= now:  # letters are too old, and a pass was taken just before: again, when one may be
                self.expires_at = now + max(lead, PRESSING_SECONDS)
            return
        self._due = monotonic()
        if self._pass is not None and next(self._pass, _OVER) is _OVER:
            self._end(lead)

    def _begin(self) -> bool:
        marks = self._look()
        now = monotonic()
        if marks == self._seen and now < min(self.expires_at, self._seen_at + IDLE_LOOKS * self._every):
            self._unchanged()
            return False
        self._marks = marks
        self._pass = chain.from_iterable(part.steps() for part in self._parts)
        return True

    def _end(self, lead: Lead | None) -> None:
        """Remember the text from before the pass: what came during it, its own changes too, leads to another pass."""
        self._pass = None
        self._ended_at = monotonic()
        self._seen, self._seen_at = self._marks, self._ended_at
        self._due = self._ended_at + self._every
        if lead is not None:
            with suppress(NotLeader):
                self._leadership.done(lead, self.name, self._every / 2)


_OVER: Final = object()


class Bound:
    """Keeps the bound while jobs fail here: what is too many goes a second later, without a pass over the rest."""

    def __init__(self, trim: Trim, board: Scoreboard) -> None:
        self._trim = trim
        self._board = board
        self._seen = board.buried()
        self._ran_at = 0.0
        self._deleted = 0

    @property
    def due(self) -> float:
        """When to look next (monotonic): at once while there were too many; never where nothing is buried."""
        if self._deleted:
            return 0.0
        return self._ran_at + PRESSING_SECONDS if self._board.buried() != self._seen else float("inf")

    def run(self) -> None:
        """Delete a page of the oldest letters if there are too many."""
        seen = self._board.buried()
        deleted = self._trim.cut()
        if deleted:
            self._deleted += deleted
            return
        if self._deleted:
            log.warning("dead_letters.trimmed", jobs=self._deleted, by_count=self._deleted)
        self._seen, self._ran_at, self._deleted = seen, monotonic(), 0


class _Pressure:
    """Whether at least `most` jobs were buried in this instance since a pass ended."""

    def __init__(self, board: Scoreboard, most: int) -> None:
        self._board = board
        self._most = most
        self._since = float("nan")
        self._buried = 0

    def __call__(self, since: float) -> bool:
        if since != self._since:
            self._since, self._buried = since, self._board.buried()
        return self._board.buried() - self._buried >= self._most


def dead_letter_chores(
    settings: Settings,
    calls: ScriptCalls,
    payloads: Payloads,
    leadership: Leadership,
    board: Scoreboard,
    name: str,
) -> tuple[DeadLetterChore, Bound]:
    """Put the chores together for one dispatcher; the census goes on the scoreboard, `name` into the audit."""
    counts = board.dead_letters
    alerts = Alerts(calls.redis, settings)
    dead_letters = DeadLetterQueue(calls.redis, calls.prefix, settings.dead_letter_queue)
    changes = Changes(dead_letters, f"dispatcher@{settings.instance}", "bounds", name)
    queues = settings.worker_queues

    def look() -> str:
        return str(dead_letters.call(scripts.LETTER_MARKS, *queues).decode(errors="replace"))

    def note(census: Census) -> None:
        counts.write(census.kinds, census.now - census.oldest if census.oldest else None, monotonic())
        alerts.send(census)
        left = census.oldest + settings.dead_letter_max_age - census.now if census.oldest else float("inf")
        chore.expires_at = monotonic() + left

    trim = Trim(changes, settings.dead_letter_max_age, settings.dead_letter_max_jobs, alerts.count, note)
    chore = DeadLetterChore(
        leadership,
        look,
        [Collect(calls, dead_letters, payloads, queues, settings.release), trim],
        every=settings.pace.dead_letter_look,
        unchanged=lambda: counts.confirm(monotonic()),
        pressing=_Pressure(board, max(PRESSING_LEAST, settings.dead_letter_max_jobs // 10)),
    )
    return chore, Bound(trim, board)
