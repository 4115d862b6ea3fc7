"""The schedule: its lines with their last runs, and the jobs that wait for their time. Reading changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from worker.console.reading import jobs
from worker.console.reading.jobs import JobRow
from worker.fleet.upcoming import lines_in, when_of
from worker.keys import SCHEDULER_NAME, Keys
from worker.text import moment_of, name_of, text_of

#: Lines, runs of each, and delayed jobs that are shown.
MOST_LINES: Final = 200
RUNS: Final = 5
MOST_DELAYED: Final = 50
#: A line whose run is so late was missed, or nobody leads.
LATE_SECONDS: Final = 60.0
_MOST_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Moments are Unix seconds. `passed_over`: its last firing was missed, and no run made up for it."""

    number: int
    name: str
    function: str
    queue: str
    when: str
    last_at: float | None
    next_at: float | None
    passed_over: bool
    runs: tuple[JobRow, ...]


@dataclass(frozen=True, slots=True)
class Delayed:
    """A job that is due at a moment; `attempt` is the one to come."""

    job: JobRow
    due_at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """`now` is the server's time; there are `of` delayed jobs, the soonest are shown."""

    now: float
    lines: tuple[Line, ...]
    delayed: tuple[Delayed, ...]
    of: int


def read(redis: Redis, keys: Keys, queues: Iterable[str]) -> Schedule:
    """Read it in some round trips; raises `RedisTrouble`."""
    names = list(queues)
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hstrlen(keys.cron_scheduler(SCHEDULER_NAME), "cron_jobs")
        pipe.hgetall(keys.cron_runs)
        for name in names:
            pipe.zcard(keys.registry("scheduled", name))
            pipe.zrange(keys.registry("scheduled", name), 0, MOST_DELAYED - 1, withscores=True)
        (seconds, micros), length, firings, *rest = pipe.execute()
    now = int(seconds) + int(micros) / 1e6
    written = lines_of(redis, keys) if length <= _MOST_BYTES else []
    return Schedule(now, _lines(redis, keys, written, firings), _delayed(redis, keys, rest), sum(rest[::2]))


def lines_of(redis: Redis, keys: Keys) -> list[dict[str, Any]]:
    """Return the lines as the leader has written them for RQ's tools."""
    written: Any = redis.hget(keys.cron_scheduler(SCHEDULER_NAME), "cron_jobs")
    return lines_in(written)[:MOST_LINES]


def _lines(redis: Redis, keys: Keys, written: list[dict[str, Any]], firings: dict[bytes, bytes]) -> tuple[Line, ...]:
    names = [str(line.get("name", "")) for line in written]
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.zrevrange(keys.cron_history(name), 0, RUNS - 1)
        histories = [[name_of(job_id) for job_id in ids] for ids in pipe.execute()]
    flat = [job_id for ids in histories for job_id in ids]
    rows = iter(jobs.rows_for(redis, keys, flat))
    found = []
    for number, (line, name, ids) in enumerate(zip(written, names, histories, strict=True)):
        found.append(
            Line(
                number,
                name,
                str(line.get("func_name", "")),
                str(line.get("queue_name", "")),
                when_of(line),
                moment_of(line.get("latest_enqueue_time")),
                moment_of(line.get("next_enqueue_time")),
                _passed_over(name, names, firings),
                tuple(row for _, row in zip(ids, rows, strict=False)),
            )
        )
    return tuple(found)


def _passed_over(name: str, names: list[str], firings: dict[bytes, bytes]) -> bool:
    """Whether a line's last firing was not its last run; of several lines of one name that is not known."""
    own = [text_of(value) for key, value in firings.items() if text_of(key).rpartition(":")[0] == name]
    if names.count(name) != 1 or len(own) != 1:
        return False
    firing, _, ran = own[0].partition("|")
    return bool(ran) and firing != ran


def _delayed(redis: Redis, keys: Keys, replies: list[Any]) -> tuple[Delayed, ...]:
    due = sorted((score, name_of(job_id)) for found in replies[1::2] for job_id, score in found)[:MOST_DELAYED]
    rows = jobs.rows_for(redis, keys, [job_id for _, job_id in due])
    return tuple(Delayed(row, score, row.attempts + 1) for (score, _), row in zip(due, rows, strict=True))
