"""What dead workers left comes back, whatever stands beside it in the same registries."""

from __future__ import annotations

import zlib

import pytest
import redis as redis_py
from rq.job import Job

from tests.support.engine import LETTERS, aged, desk, enqueue, rescuer, script_calls, waiting
from tests.support.hostile import KILLERS
from worker.dead_letters.collect import Collect
from worker.dead_letters.queue import DeadLetterQueue
from worker.dispatcher.strays import all_strays
from worker.engine.dead_letter import read
from worker.engine.payload import Payloads

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


@pytest.mark.parametrize("field", ["data", "meta", "result"])
@pytest.mark.parametrize("killer", ["a tuple nested as a key", "an endless deque", "a thousand times its size"])
def test_nothing_that_would_end_its_reader_is_read_by_whoever_decides_about_the_job(
    redis: redis_py.Redis, killer: str, field: str
) -> None:
    """A fourth death buries it; then a plain worker's failure of it is collected, too."""
    enqueue(redis, "default", "odd")
    deadly = zlib.decompress(KILLERS[killer]) if killer == "a tuple nested as a key" else KILLERS[killer]
    redis.hset("rq:job:odd", mapping={field: deadly, "crashes": "2"})
    desk(redis, "dead").settle_and_claim([], 1)
    rescuer(redis).rescue_orphans()
    record = read(redis.hget("rq:job:odd", "dead_letter"))
    assert record["reason"] == "crashed"
    if field != "data":
        assert record["function"] == "tests.support.tasks.add"
    redis.hdel("rq:job:odd", "dead_letter")
    redis.delete("rq:queue:dead-letter")
    calls = script_calls(redis)
    letters = DeadLetterQueue(redis, calls.prefix, LETTERS)
    aged(Job("odd", connection=redis))
    for _ in Collect(calls, letters, Payloads(["tests.support.tasks"], ["pickle", "json"]), ["default"], None).steps():
        pass
    assert waiting(redis, LETTERS) == ["odd"]


def test_the_retries_of_a_job_that_nobody_reads_are_those_of_its_hash(redis: redis_py.Redis) -> None:
    """A plain worker vanished under it."""
    enqueue(redis, "default", "odd")
    redis.lpop("rq:queue:default")
    started(redis, b"odd", data="x", retries_left="2", retry_intervals="[60]")
    redis.hset("rq:job:odd", "data", KILLERS["an endless deque"])
    redis.zadd(WIP, {"odd:run": 1})
    rescuer(redis).rescue_orphans()
    assert redis.hget("rq:job:odd", "retries_left") == b"1"
    assert redis.zcard("rq:scheduled:default") == 1
