"""Dead letters as an operator sees them. Reading changes nothing, and nothing here unpickles anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from redis import Redis

from worker import scripts
from worker.dead_letters import read
from worker.letter_filter import UNKNOWN, Filter
from worker.scripts import Script

#: Letters that are read in one round trip: about 0.2 MB, and some 2 ms of the server's time.
PAGE: Final = 500


class Letter:
    """One dead letter. `record` is what its burial wrote (see `dead_letters.record`), {} if there is none.

    A letter of a page has no traceback and no history in it; `LetterBox.letters` reads all. The record is parsed when
    it is first asked for: whoever only counts a hundred thousand letters does not need to.
    """

    __slots__ = ("_record", "_written", "ended_at", "job_id", "origin")

    def __init__(self, job_id: str, origin: str = "", ended_at: str = "", written: bytes | None = None) -> None:
        self.job_id = job_id
        self.origin = origin
        self.ended_at = ended_at
        self._written = written or b""
        self._record: dict[str, Any] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """Return the record."""
        if self._record is None:
            self._record = read(self._written)
        return self._record

    @property
    def reason(self) -> str:
        """Return the reason's code."""
        return self._text(_REASON, "reason") or UNKNOWN

    @property
    def fingerprint(self) -> str:
        """Return the name of its kind of failure."""
        return self._text(_FINGERPRINT, "fingerprint")

    @property
    def function(self) -> str:
        """Return the function's dotted name."""
        return self._text(_FUNCTION, "function")

    @property
    def moment(self) -> float:
        """When it failed, by the server's clock (Unix seconds); 0 if nobody wrote it down."""
        try:
            return datetime.fromisoformat(self.ended_at).timestamp()
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(str(self.record.get("at", ""))).timestamp()
        except ValueError:
            return 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {"id": self.job_id, "queue": self.origin, "ended_at": self.ended_at, **self.record}

    def _text(self, pattern: re.Pattern[bytes], name: str) -> str:
        found = pattern.search(self._written) if self._record is None else None
        return found[1].decode() if found else str(self.record.get(name) or "")


#: Find a text in a record that we wrote without parsing it; these parts stand before any other that could be mistaken.
_REASON, _FINGERPRINT, _FUNCTION = (
    re.compile(rb'"%s": "([\w.-]+)"' % name, flags=re.ASCII) for name in (b"reason", b"fingerprint", b"function")
)


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
                letters.append(Letter(name, _text(origin), _text(ended_at), record))
            else:
                stale.append((first + index, name))
        return Page(length, seen, letters, stale)

    def __iter__(self) -> Iterator[Letter]:
        """Every letter, newest first."""
        return self.newest_first(Filter())

    def newest_first(self, chosen: Filter) -> Iterator[Letter]:
        """Every letter that is meant, newest first. What is buried meanwhile is not looked at."""
        for last in range(self.count() - 1, -1, -PAGE):
            page = self.page(max(0, last - PAGE + 1), last, chosen.needles())
            page.letters.reverse()
            yield from chosen.among(page.letters)

    def oldest_first(self, chosen: Filter) -> Iterator[Letter]:
        """Every letter that is meant, oldest first; for readers that leave them where they are."""
        count = self.count()
        for first in range(0, count, PAGE):
            page = self.page(first, min(first + PAGE, count) - 1, chosen.needles())
            yield from chosen.among(page.letters)

    def letters(self, job_ids: Sequence[str]) -> list[Letter]:
        """Read letters by id, with all of their records; jobs that do not exist or have not failed are missing."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(f"{self.prefix}:job:{job_id}", "status", "origin", "ended_at", "dead_letter")
            rows = pipeline.execute()
        return [
            Letter(job_id, _text(origin), _text(ended_at), record)
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
