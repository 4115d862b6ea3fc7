"""What the fleet will do next: scheduled jobs, the lines of the schedule, and the leader. Reading changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from worker.keys import SCHEDULER_NAME, Keys
from worker.text import count_of, moment_of, text_of

#: How many scheduled jobs are shown, the soonest first.
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A scheduled job: due in `due_in` seconds, negative when it is late; `attempt` counts the one to come."""

    job_id: str
    queue: str
    due_in: float
    attempt: int
    last_error: str


@dataclass(frozen=True, slots=True)
class CronLine:
    """A line of the schedule. `last_ago` and `next_in` are seconds."""

    name: str
    queue: str
    when: str
    last_ago: float | None
    next_in: float | None


@dataclass(frozen=True, slots=True)
class Coming:
    """All of it. `leader` is usually "", because an instance leads only as long as a chore takes."""

    scheduled: tuple[Scheduled, ...]
    cron: tuple[CronLine, ...]
    leader: str


def read(redis: Redis, keys: Keys, queues: Iterable[str]) -> Coming:
    """Read it in two round trips."""
    names = list(queues)
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hget(keys.leader, "name")
        pipe.hget(keys.cron_scheduler(SCHEDULER_NAME), "cron_jobs")
        for name in names:
            pipe.zrange(keys.registry("scheduled", name), 0, SHOWN - 1, withscores=True)
        (seconds, micros), leader, lines, *rows = pipe.execute()
    now = int(seconds) + int(micros) / 1e6
    found = [(score, job_id, name) for name, row in zip(names, rows, strict=True) for job_id, score in row]
    soonest = sorted(found)[:SHOWN]
    with redis.pipeline(transaction=False) as pipe:
        for _, job_id, _ in soonest:
            pipe.hmget(keys.job(text_of(job_id)), "attempts", "last_error")
        fields = pipe.execute()
    scheduled = tuple(
        Scheduled(
            text_of(job_id),
            name,
            score - now,
            count_of(attempts) + 1,
            text_of(error),
        )
        for (score, job_id, name), (attempts, error) in zip(soonest, fields, strict=True)
    )
    lines_of = tuple(_line(line, now) for line in lines_in(lines))
    return Coming(scheduled, lines_of, text_of(leader).partition("#")[0])


def lines_in(written: bytes | None) -> list[dict[str, Any]]:
    """Return the lines of the schedule as the leader has written them for RQ's tools; [] for what is none."""
    try:
        loaded = json.loads(written) if written else []
    except (ValueError, RecursionError):
        return []
    return [line for line in loaded if isinstance(line, dict)] if isinstance(loaded, list) else []


def when_of(line: dict[str, Any]) -> str:
    """Return a line's times in words."""
    return str(line["cron"]) if line.get("cron") else f"every {line.get('interval')} s"


def _line(line: dict[str, Any], now: float) -> CronLine:
    last, due = moment_of(line.get("latest_enqueue_time")), moment_of(line.get("next_enqueue_time"))
    return CronLine(
        str(line.get("name", "")),
        str(line.get("queue_name", "")),
        when_of(line),
        None if last is None else now - last,
        None if due is None else due - now,
    )
