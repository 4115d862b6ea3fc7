"""The operator's view of dead letters: look at them, replay them. Nothing here unpickles anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from worker.claims import Claims
from worker.dead_letters import read

#: Letters that are fetched in one round trip.
PAGE: Final = 500
_FIELDS: Final = ("dead_letter", "origin", "description", "ended_at", "status", "failure_ttl")


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `record` is what its burial wrote (see `dead_letters.record`), {} if somebody else failed it."""

    job_id: str
    origin: str
    ended_at: str
    record: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {"id": self.job_id, "queue": self.origin, "ended_at": self.ended_at, **self.record}


class LetterBox:
    """The dead-letter queue `queue` under RQ's key prefix."""

    def __init__(self, redis: Redis, prefix: str, queue: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._key = f"{prefix}:queue:{queue}"
        self._claims = Claims(redis, prefix, "", (), queue)

    def count(self) -> int:
        """Return how many ids stand there."""
        return int(self._redis.llen(self._key))

    def __iter__(self) -> Iterator[Letter]:
        """Every letter, newest first; ids whose job is gone (expired, deleted) are passed over."""
        end = -1
        while True:
            ids: list[bytes] = self._redis.lrange(self._key, end - PAGE + 1, end)  # type: ignore[assignment]
            if not ids:
                return
            yield from self.letters([job_id.decode() for job_id in reversed(ids)])
            end -= PAGE

    def letters(self, job_ids: Sequence[str]) -> list[Letter]:
        """Read some letters by id; those that do not exist are missing from the answer."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(f"{self._prefix}:job:{job_id}", *_FIELDS)
            rows = pipeline.execute()
        return [
            Letter(job_id, _text(row[1]), _text(row[3]), read(row[0]))
            for job_id, row in zip(job_ids, rows, strict=True)
            if row[4] is not None
        ]

    def replay(self, job_id: str) -> bool:
        """Put one letter back on its queue; False when it is no letter any more. Safe to do twice."""
        return self._claims.replay(job_id)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
