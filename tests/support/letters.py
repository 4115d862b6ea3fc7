"""Dead letters for tests: made by a consumer, by plain RQ, or written straight into Redis by the thousand."""

from __future__ import annotations

import json
import pickle
import zlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import redis as redis_py
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job

from tests.support import tasks
from tests.support.engine import script_calls
from tests.support.worker import consumer
from worker.dead_letters.changes import Changes
from worker.dead_letters.collect import Collect
from worker.dead_letters.queue import DeadLetterQueue
from worker.dead_letters.trim import Trim
from worker.engine.payload import Payloads

QUEUE = "dead-letter"
LETTERS = f"rq:queue:{QUEUE}"
MONTH = 30 * 86400


def box(redis: redis_py.Redis) -> DeadLetterQueue:
    """Return the dead letters of the default prefix."""
    return DeadLetterQueue(redis, RQ_KEY_PREFIX, QUEUE)


def actions(redis: redis_py.Redis, note: str = "a test") -> Changes:
    """Return what an operator can do with them."""
    return Changes(box(redis), "ann@laptop", note)


def payloads() -> Payloads:
    """Return the gates of the tests' job package."""
    return Payloads(["tests.support.tasks"], ["json", "pickle"])


def ids(redis: redis_py.Redis) -> list[str]:
    """Return the ids on the dead-letter queue, oldest first."""
    return [job_id.decode() for job_id in redis.lrange(LETTERS, 0, -1)]


def record(redis: redis_py.Redis, job_id: str) -> dict[str, Any]:
    """Return a letter's record, read without unpickling anything."""
    written = redis.hget(f"rq:job:{job_id}", "dead_letter")
    return json.loads(written) if written else {}


def bury(redis: redis_py.Redis, function: Any = tasks.boom, *args: Any, queue: str = "default", **options: Any) -> Job:
    """Let a consumer fail a job for good."""
    job = Queue(queue, connection=redis).enqueue(function, *args, **options)
    consumer(redis).work(burst=True)
    assert job.get_status() == "failed"
    return job


def collect(redis: redis_py.Redis, *queues: str) -> None:
    """Do one pass over the registries."""
    for _ in Collect(script_calls(redis), box(redis), payloads(), queues or ("high", "default"), "abc123").steps():
        pass


def keep_up(redis: redis_py.Redis, max_age: int = MONTH, max_jobs: int = 10_000, **listeners: Any) -> None:
    """Do one pass over the queue."""
    for _ in Trim(actions(redis, "bounds"), max_age, max_jobs, **listeners).steps():
        pass


def seed(redis: redis_py.Redis, count: int, *, step_seconds: float = 0.0, kinds: int = 1, first: int = 0) -> None:
    """Write `count` dead letters as a consumer writes them, the oldest first, `step_seconds` apart.

    Their functions fail in `kinds` different ways. Ids are ``letter-<number>`` from `first` on.
    """
    now = datetime.now(UTC)
    data = zlib.compress(pickle.dumps(("tests.support.tasks.add", None, (1, 1), {})))
    text = b64encode(zlib.compress(b"Traceback (most recent call last):\n" + b'  File "x.py", line 1, in f\n' * 20))
    for begin in range(0, count, 1000):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(begin, min(begin + 1000, count)):
                job_id, kind = f"letter-{first + number}", number % kinds
                at = now - timedelta(seconds=(count - number) * step_seconds)
                moment = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                told = {
                    "reason": "failed",
                    "exception": "ValueError",
                    "message": f"number {number}",
                    "fingerprint": f"{kind:012x}",
                    "function": f"tests.support.tasks.kind_{kind}",
                    "queue": "default",
                    "attempts": 1,
                    "first_failed_at": at.isoformat(timespec="seconds"),
                    "at": at.isoformat(timespec="seconds"),
                    "worker": "laptop.4ef3.0",
                    "instance": "laptop.4ef3",
                    "release": "abc123",
                    "history": [],
                }
                fields: dict[Any, Any] = {
                    "status": "failed",
                    "origin": "default",
                    "created_at": moment,
                    "enqueued_at": moment,
                    "started_at": moment,
                    "ended_at": moment,
                    "buried_at": moment,
                    "data": data,
                    "timeout": 180,
                    "dead_letter": json.dumps(told),
                }
                pipeline.hset(f"rq:job:{job_id}", mapping=fields)
                pipeline.xadd(f"rq:results:{job_id}", {"type": 2, "worker_name": "w", "exc_string": text})
                pipeline.zadd("rq:failed:default", {job_id: now.timestamp() + 31_536_000})
                pipeline.rpush(LETTERS, job_id)
            pipeline.execute()
    redis.sadd("rq:queues", LETTERS)
