"""Dead letters as an operator sees them. Reading changes nothing, and nothing here unpickles anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from redis import Redis

from worker import scripts
from worker.dead_letters import read
from worker.letter_filter import UNKNOWN, Filter
from worker.scripts import Script

#: Letters that are read in one round trip: about 0.5 MB, and some milliseconds of the server's time.
PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `record` is what its burial wrote (see `dead_letters.record`), {} if there is none.

    A letter of a page has no traceback and no history in it; `LetterBox.letter` reads all.
    """

    job_id: str
    origin: str
    ended_at: str
    record: dict[str, Any]

    @property
    def reason(self) -> str:
        """Return the reason's code."""
        return str(self.record.get("reason") or UNKNOWN)

    @property
    def moment(self) -> float:
        """When it failed, by the server's clock (Unix seconds); 0 if nobody wrote it down."""
        for text in (self.ended_at, str(self.record.get("at", ""))):
            try:
                return datetime.fromisoformat(text).timestamp()
            except ValueError:
                continue
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {"id": self.job_id, "queue": self.origin, "ended_at": self.ended_at, **self.record}


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters of the queue; `seen` ids stood there, `stale` are those of jobs that are gone or run again."""

    length: int
    seen: int
    letters: list[Letter]
    stale: list[tuple[int, str]]  #: index on the queue, id


class LetterBox:
    """The dead-letter queue `queue` under RQ's key prefix."""

    def __init__(self, redis: Redis, prefix: str, queue: str) -> None:
        self.redis = redis
        self.prefix = prefix
        self.queue = queue

    def count(self) -> int:
        """Return how many ids stand there."""
        return int(self.redis.llen(f"{self.prefix}:queue:{self.queue}"))

    def now(self) -> float:
        """Return the server's time (Unix seconds)."""
        seconds, micros = self.redis.time()
        return float(seconds) + float(micros) / 1e6

    def page(self, first: int, last: int, needles: Sequence[str] = ()) -> Page:
        """Read the letters from index `first` (0 = the oldest) to `last`, both included."""
        length, seen, *rows = self.call(scripts.LETTERS, first, last, *needles)
        letters, stale = [], []
        for index, (job_id, status, origin, ended_at, record) in enumerate(rows):
            name = _text(job_id)
            if status == b"failed":
                letters.append(Letter(name, _text(origin), _text(ended_at), read(record)))
            else:
                stale.append((first + index, name))
        return Page(length, seen, letters, stale)

    def __iter__(self) -> Iterator[Letter]:
        """Every letter, newest first."""
        return self.newest_first(Filter())

    def newest_first(self, chosen: Filter) -> Iterator[Letter]:
        """Every letter that is meant, newest first. What is buried meanwhile is not looked at."""
        last = self.count() - 1
        while last >= 0:
            page = self.page(max(0, last - PAGE + 1), last, chosen.needles())
            yield from (letter for letter in reversed(page.letters) if chosen.matches(letter))
            last -= PAGE

    def oldest_first(self, chosen: Filter) -> Iterator[Letter]:
        """Every letter that is meant, oldest first; for readers that leave them where they are."""
        first, count = 0, self.count()
        while first < count:
            page = self.page(first, min(first + PAGE, count) - 1, chosen.needles())
            yield from filter(chosen.matches, page.letters)
            first += PAGE

    def letters(self, job_ids: Sequence[str]) -> list[Letter]:
        """Read letters by id, with all of their records; jobs that do not exist or have not failed are missing."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(f"{self.prefix}:job:{job_id}", "status", "origin", "ended_at", "dead_letter")
            rows = pipeline.execute()
        return [
            Letter(job_id, _text(origin), _text(ended_at), read(record))
            for job_id, (status, origin, ended_at, record) in zip(job_ids, rows, strict=True)
            if status == b"failed"
        ]

    def status(self, job_ids: Sequence[str]) -> list[str]:
        """Return the status of some jobs; "" for those that are gone."""
        return self._field(job_ids, "status")

    def origins(self, job_ids: Sequence[str]) -> list[str]:
        """Return the queue of some jobs; "" for those that are gone."""
        return self._field(job_ids, "origin")

    def _field(self, job_ids: Sequence[str], name: str) -> list[str]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hget(f"{self.prefix}:job:{job_id}", name)
            return [_text(value) for value in pipeline.execute()]

    def call(self, script: Script, *args: str | bytes | float) -> Any:
        """Run a script about this queue; a server that does not know it is given it."""
        return self.call_about(self.queue, script, *args)

    def call_about(self, queue: str, script: Script, *args: str | bytes | float) -> Any:
        """Run a script about another queue."""
        return self.redis.register_script(script.text)(args=[self.prefix, "", queue, *args])


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
