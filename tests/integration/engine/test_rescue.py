"""What dead workers left comes back, whatever stands beside it in the same registries."""

from __future__ import annotations

import pytest
import redis as redis_py

from tests.support.engine import desk, enqueue, rescuer, script_calls, waiting
from worker.dispatcher.strays import all_strays

WIP = "rq:wip:default"


def left_behind(redis: redis_py.Redis) -> None:
    """Let a worker of ours have died with one claim."""
    enqueue(redis, "default", "good")
    desk(redis, "dead").settle_and_claim([], 1)
    assert waiting(redis) == []


def started(redis: redis_py.Redis, job_id: bytes, **fields: str) -> None:
    redis.hset(b"rq:job:" + job_id, mapping={"status": "started", "origin": "default", "data": "x", **fields})


@pytest.mark.parametrize("execution", [b"run", b"w1", b"", b"\xff\xfe", b"a:b", b":"])
@pytest.mark.parametrize("job_id", [b"odd", b"\xff\xfe", b"", b"a:b", b"x" * 5000], ids=lambda job_id: repr(job_id)[:9])
def test_an_odd_member_of_the_registry_keeps_no_other_from_being_rescued(
    redis: redis_py.Redis, job_id: bytes, execution: bytes
) -> None:
    left_behind(redis)
    started(redis, job_id)
    redis.zadd(WIP, {job_id + b":" + execution: 1, b"\xff": 1, b"": 1})
    rescuer(redis).rescue_orphans()
    assert b"good" in redis.lrange("rq:queue:default", 0, -1)
    rescuer(redis).rescue_orphans()
    assert redis.zrange(WIP, 0, -1) in ([], [b"", b"\xff"])


@pytest.mark.parametrize("key", ["rq:job:odd", "rq:execution:odd:w1", "rq:execution:odd:run"])
def test_a_job_whose_key_holds_something_else_keeps_no_other_from_being_rescued(
    redis: redis_py.Redis, key: str
) -> None:
    left_behind(redis)
    redis.zadd(WIP, {"odd:w1": 1, "odd:run": 1})
    redis.rpush(key, "x")
    rescuer(redis).rescue_orphans()
    assert waiting(redis) == ["good"]


def test_a_claim_of_a_job_that_says_it_belongs_elsewhere_is_no_claim_for_ever(redis: redis_py.Redis) -> None:
    """Once it is out of the registry the job is astray, and goes where its hash says."""
    for job_id in (b"theirs", b"ours"):
        started(redis, job_id, origin="elsewhere")
    redis.zadd(WIP, {"theirs:run": 1, "ours:w1": 1})
    rescuer(redis).rescue_orphans()
    assert redis.zcard(WIP) == 0
    assert sorted(stray.job_id for stray in all_strays(script_calls(redis))) == ["ours", "theirs"]


def test_a_claimed_job_without_origin_belongs_to_the_queue_of_its_claim(redis: redis_py.Redis) -> None:
    started(redis, b"odd", origin="")
    redis.zadd(WIP, {"odd:run": 1})
    rescuer(redis).rescue_orphans()
    assert redis.hget("rq:job:odd", "status") == b"failed"
    assert redis.zcard(WIP) == 0


def test_what_is_no_claim_in_the_record_of_a_dead_worker_is_dropped(redis: redis_py.Redis) -> None:
    left_behind(redis)
    redis.sadd("rq:worker:dead:executions", b"x", b"\xff:\xfe")
    rescuer(redis).rescue_orphans()
    assert waiting(redis) == ["good"]
    assert not redis.exists("rq:worker:dead:executions")
