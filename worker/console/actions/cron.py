"""Run a line of the schedule now, besides its times. Raises `ActionRefused` with a sentence."""

from __future__ import annotations

import json
from typing import Any, Final

from redis import Redis
from rq import Queue

from worker.console.actions import ActionRefused
from worker.console.reading import schedule
from worker.dead_letters.changes import note
from worker.keys import Keys
from worker.redis.client import translating
from worker.settings import Settings

_OPTIONS: Final = ("result_ttl", "ttl", "failure_ttl")


def run_now(redis: Redis, keys: Keys, settings: Settings, number: int, name: str, who: str) -> tuple[str, str]:
    """Enqueue a job of the line `number`, which must still be called `name`; returns a sentence and the job's id."""
    lines = schedule.lines_of(redis, keys)
    line = lines[number] if number < len(lines) else {}
    if str(line.get("name", "")) != name or not line.get("func_name"):
        raise ActionRefused("The schedule has changed meanwhile: look at it again.")
    args, kwargs = _json(line, "args", list), _json(line, "kwargs", dict)
    serializer = "pickle" if "pickle" in settings.worker_serializers else "json"
    queue = Queue(str(line.get("queue_name") or "default"), connection=redis, serializer=serializer)
    options: dict[str, Any] = {option: line[option] for option in _OPTIONS if line.get(option) is not None}
    job = queue.create_job(
        str(line["func_name"]),
        args=args,
        kwargs=kwargs,
        timeout=line.get("job_timeout"),
        meta=_json(line, "meta", dict),
        **options,
    )
    note(redis, keys, action="cron-run", who=who, job_ids=[job.id], about=name)
    with translating():
        queue.enqueue_job(job)
    return f"{name} waits on {queue.name}, besides its times.", str(job.id)


def _json(line: dict[str, Any], part: str, kind: type) -> Any:
    """Return the arguments as RQ's tools show them; what is no JSON is not there."""
    text = line.get(part)
    if text is None:
        return kind()
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ActionRefused("Its arguments are more than JSON can carry, so only its own times run it.")
    return value
