"""Dead letters as an operator sees them. Reading changes nothing, and nothing here unpickles anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis import Redis

from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter, Page
from worker.journal import Entry, entries, standing_of
from worker.keys import Keys
from worker.redis import rights, scripts
from worker.redis.scripts import Script
from worker.redis.trouble import RedisTrouble
from worker.text import text_of

#: Letters that are read in one round trip: about 0.2 MB, and some 2 ms of the server's time.
PAGE: Final = 500
#: Ids that are read in one round trip, about 0.2 MB.
_IDS: Final = 5000


class DeadLetterQueue:
    """The dead-letter queue `name` under RQ's key prefix."""

    def __init__(self, redis: Redis, prefix: str, name: str) -> None:
        self.redis = redis
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.name = name

    def count(self) -> int:
        """Return how many ids the queue holds."""
        return int(self.redis.llen(self.keys.queue(self.name)))

    def now(self) -> float:
        """Return the server's time (Unix seconds)."""
        seconds, micros = self.redis.time()
        return float(seconds) + float(micros) / 1e6

    def page(self, first: int, last: int, needles: Sequence[str] = ()) -> Page:
        """Read the letters from index `first` (0 = the oldest) to `last`, both included."""
        length, seen, *rows = self.call(scripts.LETTERS, first, last, *needles)
        letters, stale = [], []
        for index, (job_id, status, origin, ended_at, record) in enumerate(rows):
            name = text_of(job_id)
            if status == b"failed":
                letters.append(DeadLetter(name, text_of(origin), text_of(ended_at), record))
            else:
                stale.append((first + index, name))
        return Page(length, seen, letters, stale)

    def __iter__(self) -> Iterator[DeadLetter]:
        """Every letter, newest first."""
        return self.newest_first(Filter())

    def newest_first(self, chosen: Filter, size: int = PAGE) -> Iterator[DeadLetter]:
        """Every letter that matches, newest first; without those that are buried meanwhile. `size` are read at once."""
        for last in range(self.count() - 1, -1, -size):
            page = self.page(max(0, last - size + 1), last, chosen.needles())
            page.letters.reverse()
            yield from chosen.among(page.letters)

    def oldest_first(self, chosen: Filter) -> Iterator[DeadLetter]:
        """Every letter that matches, oldest first; for readers that leave them where they are."""
        count = self.count()
        for first in range(0, count, PAGE):
            page = self.page(first, min(first + PAGE, count) - 1, chosen.needles())
            yield from chosen.among(page.letters)

    def letters(self, job_ids: Sequence[str]) -> list[DeadLetter]:
        """Read letters by id, with all of their records; jobs that do not exist or have not failed are missing."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(self.keys.job(job_id), "status", "origin", "ended_at", "dead_letter")
                pipeline.xrevrange(self.keys.results(job_id), count=1)
            rows = pipeline.execute()
        found = []
        for job_id, fields, results in zip(job_ids, rows[::2], rows[1::2], strict=True):
            status, origin, ended_at, record = fields
            if status == b"failed":
                failure = results[0][1].get(b"exc_string") if results else None
                found.append(DeadLetter(job_id, text_of(origin), text_of(ended_at), record, failure))
        return found

    def beginning_with(self, start: str) -> list[str]:
        """Return the ids on the queue that begin so, the newest first; reads some thousand ids in one round trip."""
        found = []
        for last in range(self.count() - 1, -1, -_IDS):
            page = self.redis.lrange(self.keys.queue(self.name), max(0, last - _IDS + 1), last)
            found += [name for name in map(text_of, reversed(page)) if name.startswith(start)]
        return found

    def journal(self, job_id: str) -> list[Entry]:
        """Return what a job's steps and cursors have kept, the oldest first."""
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(self.keys.job(job_id), "journal", "created_at")
            pipeline.hgetall(self.keys.journal(job_id))
            (stands, created_at), fields = pipeline.execute()
        own = standing_of({b"journal": stands or b"", b"created_at": created_at or b""})
        return entries(fields) if own else []

    def status(self, job_ids: Sequence[str]) -> list[str]:
        """Return the status of some jobs; "" for those that are gone."""
        return self._field(job_ids, "status")

    def origins(self, job_ids: Sequence[str]) -> list[str]:
        """Return the queue of some jobs; "" for those that are gone."""
        return self._field(job_ids, "origin")

    def _field(self, job_ids: Sequence[str], name: str) -> list[str]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hget(self.keys.job(job_id), name)
            return [text_of(value) for value in pipeline.execute()]

    def call(self, script: Script, *args: str | bytes | float) -> Any:
        """Run a script about this queue; it is loaded first if the server lacks it."""
        return self.call_about(self.name, script, *args)

    def call_about(self, queue: str, script: Script, *args: str | bytes | float) -> Any:
        """Run a script about another queue."""
        try:
            return self.redis.register_script(script.text)(args=[self.prefix, "", queue, *args])
        except RedisTrouble as error:
            rights.name(self.redis, self.keys, script, error)
            raise
