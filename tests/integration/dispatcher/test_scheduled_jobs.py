"""Scheduled jobs: moved in order, in one step, a thousand at once, and never twice by two dispatchers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.engine import desk, script_calls, waiting
from tests.support.server import RedisServer
from worker.dispatcher.scheduled_jobs import move_due


def schedule(redis: redis_py.Redis, due_in: dict[str, float], queue: str = "default") -> None:
    """Put jobs off; `due_in` is id → seconds from now on the server's clock, negative for what is late."""
    now = redis.time()[0]
    target = Queue(queue, connection=redis)
    jobs = target.enqueue_many([Queue.prepare_data(tasks.add, (1, 1), job_id=job_id) for job_id in due_in])
    redis.delete(target.key)
    with redis.pipeline() as pipeline:
        for job, seconds in zip(jobs, due_in.values(), strict=True):
            pipeline.hset(job.key, "status", "scheduled")
            pipeline.zadd(f"rq:scheduled:{queue}", {job.id: now + seconds})
        pipeline.execute()


def test_due_jobs_are_moved_in_the_order_they_fell_due(redis: redis_py.Redis) -> None:
    schedule(redis, {"late": -5, "later": -1, "latest": -60, "tomorrow": 86400})
    moved, next_due, late = move_due(script_calls(redis), ["default"])
    assert waiting(redis) == ["latest", "late", "later"]
    assert (moved, redis.zrange("rq:scheduled:default", 0, -1)) == (3, [b"tomorrow"])
    assert 86300 <= next_due <= 86400
    assert 60 <= late < 120
    job = Job.fetch("late", connection=redis)
    assert (job.get_status(), job.origin) == ("queued", "default")
    assert abs(job.enqueued_at.timestamp() - redis.time()[0]) < 60
    assert redis.sismember("rq:queues", "rq:queue:default")


def test_the_next_due_job_of_all_queues_sets_the_alarm(redis: redis_py.Redis) -> None:
    assert move_due(script_calls(redis), ["high", "default"]) == (0, -1.0, 0.0)
    schedule(redis, {"a": 500})
    schedule(redis, {"h": 90}, "high")
    _, next_due, _ = move_due(script_calls(redis), ["high", "default"])
    assert 30 <= next_due <= 90


def test_jobs_of_queues_that_are_not_ours_stay(redis: redis_py.Redis) -> None:
    schedule(redis, {"a": -1}, "other")
    assert move_due(script_calls(redis), ["default"])[0] == 0
    assert redis.zcard("rq:scheduled:other") == 1


def test_ids_whose_job_is_gone_are_dropped(redis: redis_py.Redis) -> None:
    schedule(redis, {"gone": -2, "a": -1})
    redis.delete("rq:job:gone")
    assert move_due(script_calls(redis), ["default"])[0] == 1
    assert (waiting(redis), redis.keys("*gone*"), redis.zcard("rq:scheduled:default")) == (["a"], [], 0)


@pytest.mark.parametrize(
    ("fields", "front"),
    [
        ({"enqueue_at_front": 1}, True),
        ({"enqueue_at_front": 0}, False),
        ({"enqueue_at_front_on_retry": 1}, False),
        ({"enqueue_at_front_on_retry": 1, "ended_at": "2026-11-25T04:37:30.000000Z"}, True),
    ],
)
def test_the_front_is_for_those_that_asked_for_it(redis: redis_py.Redis, fields: dict[str, str], front: bool) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="first")
    queued = waiting(redis)
    schedule(redis, {"j": -1})
    redis.rpush("rq:queue:default", *queued)
    redis.hset("rq:job:j", mapping=fields)
    move_due(script_calls(redis), ["default"])
    assert waiting(redis) == (["j", "first"] if front else ["first", "j"])


def test_a_thousand_due_jobs_are_one_command(redis: redis_py.Redis) -> None:
    schedule(redis, {f"j{n}": -2000 + n for n in range(1001)})
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"] if move_due(script_calls(redis), ["none"]) else 0
    moved, next_due, _ = move_due(script_calls(redis), ["default"])
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert (moved, next_due) == (1000, 0.0), "one is left, and it is due"
    assert waiting(redis) == [f"j{n}" for n in range(1000)]
    assert move_due(script_calls(redis), ["default"])[:2] == (1, -1.0)


def test_the_limit_is_shared_by_the_queues(redis: redis_py.Redis) -> None:
    schedule(redis, {"h1": -2, "h2": -1}, "high")
    schedule(redis, {"d1": -2, "d2": -1})
    assert move_due(script_calls(redis), ["high", "default"], 3)[0] == 3
    assert (waiting(redis, "high"), waiting(redis)) == (["h1", "h2"], ["d1"])


def test_two_dispatchers_never_move_a_job_twice(server: RedisServer, redis: redis_py.Redis) -> None:
    due = [f"j{n}" for n in range(600)]
    schedule(redis, {job_id: -1000 + n for n, job_id in enumerate(due)})
    start = Barrier(3)

    def dispatcher() -> int:
        with server.client() as own:
            claims, moved = desk(own), 0
            start.wait()
            while count := move_due(claims, ["default"], 7)[0]:
                moved += count
            return moved

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(lambda _: dispatcher(), range(3)))
    assert sum(shares) == 600
    assert waiting(redis) == due
