"""What is read of a fleet whose records are not ours: odd ones, and far too many."""

from __future__ import annotations

import pytest
import redis as redis_py
from rq.utils import now, utcformat

from worker.fleet import reading, upcoming
from worker.fleet.state import Fleet
from worker.keys import Keys

KEYS = Keys("rq")


def read(redis: redis_py.Redis, *queues: str) -> Fleet:
    return reading.read(redis, KEYS, queues or ("default",), "dead-letter")


def commands(redis: redis_py.Redis) -> int:
    return int(redis.info("stats")["total_commands_processed"])


def test_of_a_hundred_thousand_queues_so_many_are_read_and_the_rest_is_said(redis: redis_py.Redis) -> None:
    for begin in range(0, 100_000, 10_000):
        redis.sadd("rq:queues", *(f"rq:queue:planted-{number:06}" for number in range(begin, begin + 10_000)))
    redis.rpush("rq:queue:default", "one")
    before = commands(redis)
    fleet = read(redis)
    assert commands(redis) - before < 10 * reading.MOST_NAMES
    assert fleet.queues[0].name == "default"
    assert fleet.queues[0].waiting == 1
    assert len(fleet.queues) <= 1 + reading.MOST_NAMES
    assert fleet.unread >= 100_000 - 2 * reading.MOST_NAMES
    assert any("more queues exist" in sentence for sentence in fleet.attention())


def test_as_many_queues_as_people_have_are_all_read(redis: redis_py.Redis) -> None:
    redis.sadd("rq:queues", *(f"rq:queue:q{number}" for number in range(reading.MOST_NAMES)))
    fleet = read(redis)
    assert {queue.name for queue in fleet.queues} == {"default", *(f"q{n}" for n in range(reading.MOST_NAMES))}
    assert (fleet.unread, fleet.attention()) == (0, [])


@pytest.mark.parametrize("odd", [b"many", b"9" * 5000, b"\xff\xfe", b"-1", b"1.5", "٣".encode(), b""])
def test_a_counter_that_is_none_counts_nothing(redis: redis_py.Redis, odd: bytes) -> None:
    record = {"state": "idle", "queues": "default", "last_heartbeat": utcformat(now()), "hostname": odd}
    fields = ("successful_job_count", "failed_job_count", "memory_mb", "pid", "version", "release")
    redis.hset("rq:worker:one", mapping={**record, **dict.fromkeys(fields, odd)})
    redis.sadd("rq:workers", "rq:worker:one")
    redis.hset("rq:job:job", mapping={"handbacks": odd, "attempts": odd, "started_at": odd, "enqueued_at": odd})
    redis.sadd("rq:worker:one:executions", "job:run")
    redis.rpush("rq:queue:default", "job")
    redis.zadd("rq:scheduled:default", {"job": 2e9})
    fleet = read(redis)
    (consumer,) = fleet.consumers
    assert (consumer.succeeded, consumer.failed, consumer.memory_mb, consumer.pid) == (0, 0, None, None)
    assert (fleet.handed_back, fleet.queues[0].next_waits) == ({}, None)
    assert upcoming.read(redis, KEYS, ["default"]).scheduled[0].attempt == 1


@pytest.mark.parametrize("lines", ["[5]", "{}", "[" * 100_000, "no json", '[{"cron": 5, "latest_enqueue_time": []}]'])
def test_lines_of_the_schedule_that_are_none_end_nothing(redis: redis_py.Redis, lines: str) -> None:
    redis.hset("rq:cron_scheduler:worker", "cron_jobs", lines)
    assert all(line.name == "" for line in upcoming.read(redis, KEYS, ["default"]).cron)
