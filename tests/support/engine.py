"""The claims of one worker without a consumer around them, and outcomes to send with them."""

from __future__ import annotations

import zlib
from base64 import b64encode
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import redis as redis_py
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job

from tests.support import tasks
from worker.engine.claims import Claims
from worker.engine.meta import NO_CHANGE
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.records import Buried, Claim, Finished, Retried
from worker.engine.rescue import Rescuer
from worker.engine.webhooks import PUBLIC, Reach
from worker.redis import scripts
from worker.redis.calls import ScriptCalls, Value, flat

QUEUES = ("high", "default")
LETTERS = "dead-letter"


def desk(redis: redis_py.Redis, name: str = "ann", *queues: str) -> Claims:
    """Return the claims of worker `name`; by default it serves `high` and `default`."""
    return Claims(redis, RQ_KEY_PREFIX, name, queues or QUEUES, LETTERS)


def script_calls(redis: redis_py.Redis) -> ScriptCalls:
    """Return the scripts as a dispatcher has them, which holds no claims."""
    return ScriptCalls(redis, RQ_KEY_PREFIX)


def rescuer(redis: redis_py.Redis, *queues: str, reach: Reach = PUBLIC) -> Rescuer:
    """Return the rescuer of a dispatcher; by default it looks at `high` and `default`."""
    payloads = Payloads(["tests.support.tasks"], ["pickle", "json"], reach=reach)
    return Rescuer(
        script_calls(redis),
        queues or QUEUES,
        Decider("dispatcher", LETTERS, 3, 500, now=lambda: datetime.now(UTC)),
        payloads,
    )


def register(redis: redis_py.Redis, name: str) -> None:
    """Write as much of a worker's record as the scripts look at."""
    redis.sadd(f"{RQ_KEY_PREFIX}:workers", f"{RQ_KEY_PREFIX}:worker:{name}")
    redis.hset(f"{RQ_KEY_PREFIX}:worker:{name}", mapping={"birth": "2026-11-25T04:37:30.000000Z"})


def collect(calls: ScriptCalls, letters: str, job_id: str, fields: dict[str, Value]) -> bool:
    """Dead-letter a job that somebody else has failed; says whether it was one."""
    return bool(calls.call(scripts.COLLECT, job_id, letters, *NO_CHANGE, *flat(fields)))


def replay(calls: ScriptCalls, job_id: str) -> bool:
    """Put a dead letter back to work; says whether it was one."""
    return bool(calls.call(scripts.REPLAY, LETTERS, "replay", "", "", "", "", 0, job_id)[0])


def finished(claim: Claim, *, result_ttl: int = 500, value: bytes = b"", in_group: bool = False) -> Finished:
    """The job ran for a tenth of a second and returned."""
    now = monotonic()
    return Finished(claim, now - 0.1, now, result_ttl, value, in_group)


def retried(claim: Claim, *, delay: float = 0.0, at_front: bool = False, **fields: Value) -> Retried:
    """The job ran for a tenth of a second, raised, and gets another attempt."""
    now = monotonic()
    return Retried(claim, now - 0.1, now, delay, at_front, fields or {"attempts": 1})


def buried(claim: Claim, *, failure_ttl: int = 1000, letters: str = LETTERS, **fields: Value) -> Buried:
    """The job ran for a tenth of a second, raised, and that was that."""
    now = monotonic()
    text = b64encode(zlib.compress(b"Traceback: boom"))
    return Buried(claim, now - 0.1, now, failure_ttl, letters, text, fields or {"attempts": 1, "dead_letter": "{}"}, {})


def claimed_everything_back(redis: redis_py.Redis) -> None:
    """Nothing of ours is left in Redis but jobs where RQ expects them."""
    assert redis.keys("rq:execution:*") == []
    assert redis.keys("rq:worker:*:executions") == []
    assert redis.zcard("rq:wip:default") == redis.zcard("rq:wip:high") == 0


def enqueue(redis: redis_py.Redis, queue: str, *ids: str, **options: Any) -> None:
    """Enqueue one addition for each id."""
    for job_id in ids:
        Queue(queue, connection=redis).enqueue(tasks.add, 1, 1, job_id=job_id, **options)


def waiting(redis: redis_py.Redis, queue: str = "default") -> list[str]:
    """Return the ids on a queue, next first."""
    return [job_id.decode() for job_id in redis.lrange(f"rq:queue:{queue}", 0, -1)]


def aged(job: Job) -> None:
    """Let the job have ended more than a minute ago, when whoever ended it has long done what comes next."""
    job.connection.hset(job.key, "ended_at", "2026-11-25T04:37:30.000000Z")


def lives(redis: redis_py.Redis, key: str, seconds: int) -> bool:
    """Whether a key was given so many seconds within the last half minute; -1: for ever, -2: there is none."""
    left = int(redis.ttl(key))
    return left == seconds if seconds < 0 or left < 0 else seconds - 30 < left <= seconds


def everything(redis: redis_py.Redis) -> dict[str, object]:
    """Return all data of the database, key by key, without times to live."""
    read = {
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        "stream": redis.xrange,
        "string": redis.get,
    }
    return {key.decode(): read[redis.type(key).decode()](key) for key in redis.scan_iter()}
