"""A little of each of some jobs: enough for a row of a table. Payloads are not read but for the function's name."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from redis import Redis

from worker.engine.unread import function_named
from worker.keys import Keys
from worker.redis import scripts
from worker.text import count_of, text_of

#: The largest payload, as it is stored, in which a function's name is looked for: copying it costs the server time.
_MOST_BYTES: Final = 200_000
#: Bytes of a payload in which the name must stand.
_NAME_BYTES: Final = 4_000
#: Jobs that one script reads.
_BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One job; `status` is "" when it is gone. Moments are Unix seconds by the server's clock, None = unknown."""

    job_id: str
    status: str
    queue: str
    function: str
    worker: str
    enqueued_at: float | None
    started_at: float | None
    ended_at: float | None
    attempts: int


def rows(redis: Redis, keys: Keys, job_ids: Sequence[str]) -> list[Row]:
    """Read a row of each job, in the order of their ids; raises `RedisTrouble`."""
    script = redis.register_script(scripts.GLANCE.text)
    found = []
    for begin in range(0, len(job_ids), _BATCH):
        batch = [job_id.encode(errors="surrogateescape") for job_id in job_ids[begin : begin + _BATCH]]
        found += script(args=[keys.prefix, "", _MOST_BYTES, *batch])
    return [_row(job_id, fields) for job_id, fields in zip(job_ids, found, strict=True)]


def moment_of(text: object) -> float | None:
    """Return the Unix seconds of one of RQ's dates; None for anything else."""
    try:
        return datetime.fromisoformat(text_of(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def function_of(data: bytes) -> str:
    """Return the function's name in the first bytes of a payload; "" where it is not to be seen."""
    try:
        data = zlib.decompressobj().decompress(data, _NAME_BYTES)
    except zlib.error:
        data = data[:_NAME_BYTES]
    return function_named(data)[:300]


def _row(job_id: str, fields: list[bytes]) -> Row:
    status, queue, worker, enqueued_at, started_at, ended_at, attempts, data = fields
    return Row(
        job_id,
        text_of(status),
        text_of(queue),
        function_of(data),
        text_of(worker),
        moment_of(enqueued_at),
        moment_of(started_at),
        moment_of(ended_at),
        count_of(attempts),
    )
