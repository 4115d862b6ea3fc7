"""Scheduled jobs: moved in order, in one step, many at once, and never twice by two dispatchers."""

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
from worker.dispatcher.scheduled_jobs import MOST, SPREAD_SECONDS, ScheduledJobs, look, move_due
from worker.process.scoreboard import Scoreboard


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


def test_two_hundred_due_jobs_are_one_command(redis: redis_py.Redis) -> None:
    schedule(redis, {f"j{n}": -2000 + n for n in range(MOST + 1)})
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"] if move_due(script_calls(redis), ["none"]) else 0
    moved, next_due, _ = move_due(script_calls(redis), ["default"])
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert (moved, next_due) == (MOST, 0.0), "one is left, and it is due"
    assert waiting(redis) == [f"j{n}" for n in range(MOST)]
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


def looker(
    redis: redis_py.Redis, board: Scoreboard, name: str, ended: list[int], interval: float = 15
) -> ScheduledJobs:
    return ScheduledJobs(
        script_calls(redis),
        ["high", "default"],
        interval,
        board.consumers,
        header=board.header,
        name=name,
        rare=True,
        ended=ended.__len__,
    )


def waits(chore: ScheduledJobs) -> int:
    """Run the chore as if it were due, and return for how many seconds it then waits."""
    chore._due = 0.0
    chore.run()
    return round(chore.due - chore._looked_at)


def test_where_commands_are_rare_looks_that_find_nothing_become_rarer_within_a_bound(redis: redis_py.Redis) -> None:
    board, ended = Scoreboard(max_consumers=1), [1]
    chore = looker(redis, board, "one", ended)
    assert [waits(chore) for _ in range(5)] == [15, 30, 60, 90, 90]
    ended.append(2)
    assert [waits(chore) for _ in range(2)] == [15, 30], "a job that ends may be the first of many"
    schedule(redis, {"a": -1})
    assert [waits(chore) for _ in range(3)] == [15, 15, 30], "and so may one that was put off"
    assert waiting(redis) == ["a"]
    schedule(redis, {"b": 7})
    assert waits(chore) < 10, "the next one's date is known"
    redis.flushdb()
    seldom = looker(redis, board, "seldom", ended, 300)
    assert [waits(seldom) for _ in range(2)] == [300, 300]


def test_where_commands_are_rare_one_instance_looks_for_all(redis: redis_py.Redis) -> None:
    board = Scoreboard(max_consumers=1)
    one, two = (looker(redis, board, name, []) for name in ("one", "two"))
    assert waits(one) == 15
    schedule(redis, {"a": -1})
    assert 4 * 15 - 1 <= waits(two) <= 4 * 15 + SPREAD_SECONDS, "until it would be the other's turn"
    assert waiting(redis) == []
    board.consumers[0].note_scheduled(0.0)
    assert two.due <= two._looked_at + 1
    two.run()
    assert waiting(redis) == ["a"], "what its own consumers have put off it moves itself"
    one.resign()
    assert redis.keys("rq:look:*") == []
    schedule(redis, {"b": -1})
    assert waits(two) == 15
    assert waiting(redis) == ["b"]
    one.resign()
    assert redis.get("rq:look:high,default") == b"two"


def test_the_one_that_looks_is_replaced_when_it_is_gone_and_whatever_the_clock_says(redis: redis_py.Redis) -> None:
    calls, place = script_calls(redis), "rq:look:default"
    redis.set(place, "gone", ex=40)
    assert 0 < look(calls, ["default"], name="new", seat=45).left <= 40
    redis.set(place, "gone", ex=7200)
    assert look(calls, ["default"], name="new", seat=45).left == 0, "it was written before a clock was set back"
    assert 0 < redis.ttl(place) <= 45
    redis.delete(place)
    redis.sadd(place, "something else")
    assert look(calls, ["default"], name="new", seat=45).left == 0
    assert redis.get(place) == b"new"
