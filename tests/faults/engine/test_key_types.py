"""Shared keys that hold something else: no job is lost, the log names the key, and its repair is all that is needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from tests.support.hostile import good_fields
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.engine import key_types
from worker.redis.calls import ScriptCalls

JOBS = 40
#: Where a job may be while a key is in the way: queued, or as it began and is tried again.
PLACES = ("rq:queue:default", "rq:wip:default", "rq:scheduled:default", "rq:failed:default", "rq:queue:dead-letter")


#: Their names; no server is asked for them.
SHARED_KEYS = sorted(key_types.wanted(ScriptCalls(redis_py.Redis(port=1), "rq"), ["default"], "dead-letter"))
#: Without these no job runs.
NEEDED = ["rq:queue:default", "rq:suspended", "rq:wip:default"]
OTHERS = [key for key in SHARED_KEYS if key not in NEEDED]


def plant(redis: redis_py.Redis, key: str) -> None:
    """Put something else there, whatever it should be."""
    redis.delete(key)
    wanted = key_types.wanted(ScriptCalls(redis, "rq"), ["default"], "dead-letter")[key]
    if wanted == "string":
        redis.rpush(key, "x")
    else:
        redis.set(key, "x")


def enqueue(redis: redis_py.Redis, key: str) -> None:
    for number in range(JOBS):
        redis.hset(f"rq:job:job-{number}", mapping=good_fields(number, as_pickle=False))  # type: ignore[arg-type]
        if key != "rq:queue:default":
            redis.rpush("rq:queue:default", f"job-{number}")


def finished(redis: redis_py.Redis) -> int:
    return sum(redis.hget(f"rq:job:job-{number}", "status") == b"finished" for number in range(JOBS))


def named(service: Service) -> str:
    """Return what the log says of keys that cannot be used."""
    return "\n".join(sentence for line in service.of("keys.unusable") for sentence in line["keys"])


def nowhere(redis: redis_py.Redis) -> list[str]:
    """Return the jobs that have not finished and stand in none of the places."""
    there: set[str] = set()
    for place in PLACES:
        kind = redis.type(place)
        if kind in (b"list", b"zset"):
            members: Any = redis.lrange(place, 0, -1) if kind == b"list" else redis.zrange(place, 0, -1)
            there |= {member.decode().partition(":")[0] for member in members}
    return [
        f"job-{number} {redis.hget(f'rq:job:job-{number}', 'status')!r}"
        for number in range(JOBS)
        if redis.hget(f"rq:job:job-{number}", "status") != b"finished" and f"job-{number}" not in there
    ]


@pytest.mark.slow
@pytest.mark.parametrize("keys", [[key] for key in NEEDED] + [OTHERS], ids=[*NEEDED, "all others"])
def test_shared_keys_of_the_wrong_type_at_a_start_lose_no_job_and_are_named(
    server: RedisServer, redis: redis_py.Redis, keys: list[str]
) -> None:
    """One at a time they are planted while a service runs, below."""
    for key in keys:
        plant(redis, key)
    enqueue(redis, keys[0])
    with Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="2") as service:
        service.wait_for("child.spawned", role="consumer", slot=1)
        for key in keys:
            eventually(lambda key=key: key in named(service), what=f"a word about {key}")  # type: ignore[misc]
        if keys == OTHERS:
            eventually(lambda: finished(redis) == JOBS, what="all jobs, without those keys")
        elif keys != ["rq:queue:default"]:
            assert nowhere(redis) == []
        redis.delete(*keys)
        if keys == ["rq:queue:default"]:
            redis.rpush(keys[0], *(f"job-{number}" for number in range(JOBS)))
        eventually(lambda: finished(redis) == JOBS, what="all jobs")
        service.wait_for("keys.usable")
        eventually(lambda: redis.zcard("rq:wip:default") == 0, what="no claim that is left")
        assert not service.of("child.exited"), json.dumps(service.of("child.exited"))
        assert not service.of("child.crashed")


@pytest.mark.slow
def test_keys_that_are_planted_while_the_service_runs_end_nothing_and_lose_nothing(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="2") as service:
        enqueue(redis, "")
        eventually(lambda: finished(redis) == JOBS, what="all jobs, before anything is planted")
        for key in SHARED_KEYS:
            plant(redis, key)
            enqueue(redis, key)
            if key not in NEEDED:
                eventually(lambda: finished(redis) == JOBS, what=f"all jobs, without {key}")
            elif key != "rq:queue:default":
                assert nowhere(redis) == [], key
            redis.delete(key)
            if key == "rq:queue:default":
                redis.rpush(key, *(f"job-{number}" for number in range(JOBS)))
            eventually(lambda: finished(redis) == JOBS, what=f"all jobs, with {key} out of the way")
        eventually(lambda: redis.zcard("rq:wip:default") == 0, what="no claim that is left")
        assert not service.of("child.exited"), json.dumps(service.of("child.exited"))
        assert not service.of("child.crashed")


@pytest.mark.slow
def test_what_is_in_the_way_of_a_workers_own_keys_makes_room(server: RedisServer, redis: redis_py.Redis) -> None:
    with Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="1") as service:
        service.wait_for("child.spawned", role="consumer", slot=0)
        eventually(lambda: redis.smembers("rq:workers"), what="the worker's record")
        workers: Any = redis.smembers("rq:workers")
        (key,) = (worker.decode() for worker in workers)
        for own in (key, f"{key}:executions"):
            redis.delete(own)
            redis.set(own, "x")
        enqueue(redis, "")
        eventually(lambda: finished(redis) == JOBS, what="all jobs")
        eventually(lambda: redis.type(key) == b"hash", 40, what="its record")
        assert not service.of("child.exited")
