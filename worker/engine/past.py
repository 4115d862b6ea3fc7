"""The history of the functions, as it is read: what each has done, minute by minute or ten minutes at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from worker.keys import Keys
from worker.redis.client import raise_translated
from worker.tallies import Tally, total
from worker.text import count_of, text_of

#: The records that are kept: (their length, how far back they reach), in seconds.
MINUTES: Final = (60, 3600)
TEN_MINUTES: Final = (600, 72 * 3600)
#: Bytes of one function's entry that are looked at.
_MOST_BYTES: Final = 4000
#: Functions in a record that are looked at: we write no more.
_MOST_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Deploy:
    """A release, and when it was first seen (Unix seconds)."""

    release: str
    at: float


@dataclass(frozen=True, slots=True)
class Past:
    """What was done since `begin`, in pieces of `period` seconds, the oldest first; the last one is not over yet.

    `functions` have all the same number of pieces, None where nothing was done.
    """

    begin: float
    period: int
    functions: dict[str, tuple[Tally | None, ...]]
    deploys: tuple[Deploy, ...]

    def whole(self, function: str) -> Tally:
        """Return what a function has done in all."""
        return total(filter(None, self.functions.get(function, ())))


def read(redis: Redis, keys: Keys, seconds: float, function: str = "") -> Past:
    """Read the last `seconds` (72 h at most) of all functions, or of one; raises `RedisTrouble`.

    One round trip, with a command a minute, or for more than an hour one in ten minutes.
    """
    period, most = MINUTES if seconds <= MINUTES[1] else TEN_MINUTES
    now = float(_clock(redis))
    last = int(now // period)
    first = last - max(1, round(min(seconds, most) / period)) + 1
    with redis.pipeline(transaction=False) as pipeline:
        for number in range(first, last + 1):
            if function:
                pipeline.hmget(keys.history(period, number), function)
            else:
                pipeline.hgetall(keys.history(period, number))
        pipeline.hgetall(keys.releases)
        *records, releases = map(_told, pipeline.execute(raise_on_error=False))
    rows: dict[str, list[Tally | None]] = {}
    for at, record in enumerate(records):
        found: Any = {function: record[0]} if function and record else dict(list(dict(record).items())[:_MOST_ROWS])
        for name, held in found.items():
            if held:
                row = rows.setdefault(text_of(name), [None] * len(records))
                row[at] = Tally.read(text_of(held[:_MOST_BYTES]))
    begin = float(first * period)
    return Past(begin, period, {name: tuple(row) for name, row in rows.items()}, _deploys(releases, begin))


def by_volume(past: Past) -> list[str]:
    """Return the functions, those with most runs first."""
    return sorted(past.functions, key=lambda name: (-past.whole(name).processed, name))


def _told(reply: Any) -> Any:
    """Return a reply; nothing of what somebody else has put under one of our keys."""
    if isinstance(reply, Exception):
        if "WRONGTYPE" not in str(reply):
            raise_translated(reply)
        return {}
    return reply


def _clock(redis: Redis) -> Any:
    seconds, _ = redis.time()
    return seconds


def _deploys(found: dict[bytes, bytes], since: float) -> tuple[Deploy, ...]:
    marks = [Deploy(text_of(name), float(count_of(when.partition(b" ")[0]))) for name, when in found.items()]
    return tuple(sorted((mark for mark in marks if mark.at >= since), key=lambda mark: mark.at))
