"""What is read of a fleet: how long jobs have waited, whoever stands in front; and odd records, and far too many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_py
from rq import Queue
from rq.utils import now, utcformat

from tests.support import tasks
from tests.support.engine import desk, rescuer
from tests.support.letters import actions, box, bury
from worker.dead_letters.filter import Filter
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


def test_two_hundred_consumers_are_read_with_few_commands(redis: redis_py.Redis) -> None:
    for number in range(200):
        record = {"state": "busy", "queues": "default", "last_heartbeat": utcformat(now())}
        redis.hset(f"rq:worker:w{number:03}", mapping=record)
        redis.sadd("rq:workers", f"rq:worker:w{number:03}")
        redis.sadd(f"rq:worker:w{number:03}:executions", f"job-{number}:run")
        redis.hset(
            f"rq:job:job-{number}", mapping={"started_at": utcformat(now() - timedelta(hours=1)), "handbacks": 4}
        )
    redis.set("rq:worker:w000:executions", "of another type")
    read(redis)  # loads the scripts
    with redis.monitor() as monitor:
        fleet = read(redis)
        redis.echo("that was it")
        sent = []
        for heard in monitor.listen():
            if "that was it" in heard["command"]:
                break
            sent += [] if heard["client_type"] == "lua" else [heard["command"]]
    assert len(sent) <= 20, sent
    assert len(fleet.consumers) == 200
    assert [one.jobs for one in fleet.consumers[:2]] == [(), ("job-1",)]
    assert fleet.consumers[1].job_age == pytest.approx(3600, abs=120)
    assert len(fleet.handed_back) == 199


# -- waits -------------------------------------------------------------------------------------------------------------

HOUR = 3600.0


def waits(redis: redis_py.Redis, queue: str = "default") -> float | None:
    """Return how long the queue's oldest job has waited."""
    (state,) = [one for one in reading.read(redis, Keys("rq"), [queue], "dead-letter").queues if one.name == queue]
    return state.next_waits


def put(redis: redis_py.Redis, ago: dict[str, float], *, at_front: bool = False) -> None:
    """Put jobs on the queue, one after the other; `ago` says how many seconds ago that was."""
    queue, moment_now = Queue("default", connection=redis), datetime.fromtimestamp(redis.time()[0], UTC)
    jobs = queue.enqueue_many([Queue.prepare_data(tasks.add, (1, 1), job_id=name) for name in ago])
    redis.ltrim(queue.key, 0, -1 - len(jobs))
    with redis.pipeline() as pipeline:
        for job, seconds in zip(jobs, ago.values(), strict=True):
            moment = (moment_now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            pipeline.hset(job.key, "enqueued_at", moment)
            (pipeline.lpush if at_front else pipeline.rpush)(queue.key, job.id)
        pipeline.execute()


def about(seconds: float | None, expected: float) -> bool:
    return seconds is not None and abs(seconds - expected) < 60


def test_an_empty_queue_has_no_wait(redis: redis_py.Redis) -> None:
    assert waits(redis) is None


@pytest.mark.parametrize("in_front", [1, 17, 1000, 3000])
@pytest.mark.parametrize("behind", [1, 40, 2000])
def test_jobs_that_were_put_at_the_head_hide_nobody(redis: redis_py.Redis, in_front: int, behind: int) -> None:
    put(redis, {f"old-{number}": HOUR - 0.5 * number for number in range(behind)})
    put(redis, {f"front-{number}": 300 - 0.1 * number for number in range(in_front)}, at_front=True)
    assert about(waits(redis), HOUR)


def test_a_job_at_the_head_that_waits_longest_is_seen_too(redis: redis_py.Redis) -> None:
    put(redis, {f"young-{number}": 1.0 for number in range(100)})
    put(redis, {"front": HOUR}, at_front=True)
    assert about(waits(redis), HOUR)


def test_ids_whose_job_is_gone_and_keys_that_hold_something_else_harm_nothing(redis: redis_py.Redis) -> None:
    put(redis, {"gone": HOUR, "there": 600.0, "too": 500.0})
    redis.delete("rq:job:gone")
    redis.rpush("rq:queue:default", "text")
    redis.set("rq:job:text", "no hash")
    redis.hset("rq:job:odd", "enqueued_at", "1")
    redis.rpush("rq:queue:default", "odd")
    assert about(waits(redis), 600)
    redis.sadd("rq:queues", "rq:queue:odd")
    redis.set("rq:queue:odd", "no list")
    assert waits(redis, "odd") is None


def test_a_look_asks_the_server_no_more_than_before_however_long_the_queues_are(redis: redis_py.Redis) -> None:
    put(redis, {f"job-{number}": HOUR - number for number in range(3000)})
    waits(redis)  # loads the script
    before = redis.info("stats")["total_commands_processed"]
    waits(redis)
    # Commands inside the script count, too: a sample of 17, and some dozen to find the oldest.
    assert redis.info("stats")["total_commands_processed"] - before < 120


def test_a_job_that_was_handed_back_or_rescued_begins_to_wait_anew(redis: redis_py.Redis) -> None:
    put(redis, {"job": HOUR})
    ann = desk(redis, "ann")
    ann.release(ann.settle_and_claim([], 1).claims)
    assert about(waits(redis), 0)
    put(redis, {"other": HOUR})
    redis.delete("rq:queue:default")
    redis.rpush("rq:queue:default", "other")
    dead = desk(redis, "dead")
    dead.settle_and_claim([], 1)
    redis.delete("rq:worker:dead")
    assert rescuer(redis, "default").rescue_orphans() == 1
    assert redis.lrange("rq:queue:default", 0, -1) == [b"other"]
    assert about(waits(redis), 0)


def test_a_job_that_is_tried_again_or_replayed_begins_to_wait_anew(redis: redis_py.Redis) -> None:
    letter = bury(redis, tasks.boom)
    redis.hset(letter.key, "enqueued_at", "2020-01-01T00:00:00.000000Z")
    assert actions(redis).replay(list(box(redis).newest_first(Filter()))) == [True]
    assert about(waits(redis), 0)
