"""Whatever a producer wrote on a job's hash, no script fails half-way over it: what it had taken would be nowhere."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.job import Job

from tests.support import tasks
from tests.support.engine import desk, replay, rescuer, retried, script_calls
from tests.support.hostile import FIELDS
from tests.support.worker import consumer
from worker.dispatcher.scheduled_jobs import move_due
from worker.engine import registries
from worker.engine.leases import orphans

#: Not one of them is a number of seconds, or of slots.
ODD = ["1.5", "1e40", "nan", "inf", "-5", "0", "soon", "", "0x"]
QUEUE = "rq:queue:default"


def release(redis: redis_py.Redis, job: Job) -> None:
    ann = desk(redis)
    assert ann.release(ann.settle_and_claim([], 2).claims) == []


def rescue(redis: redis_py.Redis, job: Job) -> None:
    desk(redis).settle_and_claim([], 2)
    assert desk(redis).rescue("").released == 2


def retry(redis: redis_py.Redis, job: Job) -> None:
    ann = desk(redis)
    assert ann.settle_and_claim([retried(claim) for claim in ann.settle_and_claim([], 2).claims], 0).fenced == []


def schedule(redis: redis_py.Redis, job: Job) -> None:
    redis.lrem(QUEUE, 0, job.id)
    redis.zadd("rq:scheduled:default", {job.id: 1})
    assert move_due(script_calls(redis), ["default"])[0] == 1


def go_on(redis: redis_py.Redis, job: Job) -> None:
    redis.lrem(QUEUE, 0, job.id)
    redis.hset(job.key, "status", "ready_to_enqueue")
    redis.zadd("rq:ready:default", {job.id: 1})
    for _ in registries.steps(script_calls(redis)):
        pass


def replay_letter(redis: redis_py.Redis, job: Job) -> None:
    redis.lrem(QUEUE, 0, job.id)
    redis.hset(job.key, "status", "failed")
    redis.rpush("rq:queue:dead-letter", job.id)
    redis.zadd("rq:failed:default", {job.id: "+inf"})
    assert replay(script_calls(redis), job.id)


ROADS = [release, rescue, retry, schedule, go_on, replay_letter]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("field", ["ttl", "rate_limit_concurrency"])
@pytest.mark.parametrize("road", ROADS)
def test_a_job_with_an_odd_field_comes_back_to_its_queue_and_is_buried_if_it_cannot_be_read(
    redis: redis_py.Redis, road: Callable[[redis_py.Redis, Job], None], field: str, value: str
) -> None:
    queue = Queue("default", connection=redis)
    odd, good = (queue.enqueue(tasks.add, 1, 2) for _ in range(2))
    redis.hset(odd.key, mapping={field: value, "rate_limit_key": "shop"})
    road(redis, odd)
    assert set(redis.lrange(QUEUE, 0, -1)) == {odd.id.encode(), good.id.encode()}
    assert redis.hget(odd.key, "status") == b"queued"
    assert redis.ttl(odd.key) == -1
    consumer(redis).work(burst=True)
    assert good.get_status() == "finished"
    assert redis.hget(odd.key, "status") in (b"finished", b"failed")


@pytest.mark.parametrize("road", ROADS)
def test_a_readable_ttl_begins_anew(redis: redis_py.Redis, road: Callable[[redis_py.Redis, Job], None]) -> None:
    queue = Queue("default", connection=redis)
    job, _ = queue.enqueue(tasks.add, 1, 2, ttl=1000), queue.enqueue(tasks.add, 1, 2)
    redis.persist(job.key)
    road(redis, job)
    assert 900 < redis.ttl(job.key) <= 1000


def test_a_letter_is_short_however_long_a_field_of_its_job_is(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    jobs = []
    for field in FIELDS:
        for options in ({}, {"on_failure": Callback(tasks.on_failure)}):
            job = queue.enqueue(tasks.boom, "x" * 300_000, job_id=f"{field}-{len(options)}", **options)  # type: ignore[arg-type]
            redis.hset(job.key, field, "long" * 50_000)
            jobs.append(job)
    consumer(redis).work(burst=True)
    letters = {job.id: redis.hget(job.key, "dead_letter") or b"" for job in jobs}
    assert len(list(filter(None, letters.values()))) > 80
    assert {name: len(letter) for name, letter in letters.items() if len(letter) > 4_000} == {}
    for job in jobs:
        meta = redis.hget(job.key, "meta") or b""
        assert len(meta) < 8_000 or job.id.startswith("meta-"), job.id
        for _, result in redis.xrange(f"rq:results:{job.id}"):
            assert sum(map(len, result.values())) < 70_000, job.id


def test_an_id_that_is_no_text_or_whose_key_is_no_hash_takes_nobody_down_with_it(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    before = queue.enqueue(tasks.add, 1, 2)
    redis.rpush(QUEUE, "odd", b"\xff")
    redis.set("rq:job:odd", "a string")
    redis.hset(b"rq:job:\xff", "origin", "default")
    after = queue.enqueue(tasks.add, 1, 2)
    assert [claim.job_id for claim in desk(redis).settle_and_claim([], 4).claims] == [before.id, after.id]


ORIGINS = [b"\xff", b"\xc3", b"\xc3(", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xe2\xc3\xa9\x82\xac", b"\xf4\x90\x80\x80"]


@pytest.mark.parametrize(
    "origin", [*ORIGINS, *(name.encode() for name in ("größe", "早い", "\u07ff\ud7ff\ue000", "🐢\U0010ffff"))]
)
def test_a_queue_name_is_what_utf_8_says_and_anything_else_is_none(redis: redis_py.Redis, origin: bytes) -> None:
    odd = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
    redis.hset(odd.key, "origin", origin)
    (claim,) = desk(redis).settle_and_claim([], 1).claims
    assert claim.fields[b"origin"] == claim.origin.encode()
    assert claim.origin.encode() == (b"default" if origin in ORIGINS else origin)
    assert desk(redis).release([claim]) == []
    consumer(redis).work(burst=True)
    assert redis.zrange(f"rq:finished:{claim.origin}", 0, -1) == [odd.id.encode()]


@pytest.mark.parametrize("seconds", [1_764_000_000_000, 10**18, 10**30])
@pytest.mark.parametrize("option", ["result_ttl", "failure_ttl", "job_timeout"])
@pytest.mark.parametrize("function", [(tasks.add, 1, 2), (tasks.boom,)])
@pytest.mark.parametrize("callback", [None, "on_both"])
def test_a_span_of_time_beyond_all_measure_ends_no_consumer(
    redis: redis_py.Redis, option: str, seconds: int, function: tuple[Any, ...], callback: str | None
) -> None:
    """Milliseconds since 1970 are the usual mistake. With callbacks RQ's own code writes the end."""
    queue = Queue("default", connection=redis)
    options: dict[str, Any] = {option: seconds}
    if callback:
        options |= {"on_success": Callback(tasks.on_success), "on_failure": Callback(tasks.on_failure)}
    before = queue.enqueue(tasks.add, 1, 2)
    odd = queue.enqueue(*function, **options)
    after = queue.enqueue(tasks.add, 1, 2)
    consumer(redis).work(burst=True)
    assert (before.get_status(), after.get_status()) == ("finished", "finished")
    assert odd.get_status() == ("finished" if function[0] is tasks.add else "failed")
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == ([] if function[0] is tasks.add else [odd.id.encode()])
    assert redis.keys("rq:execution:*") == []


@pytest.mark.parametrize("function", [(tasks.add, 1, 2), (tasks.boom,)])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("retry_intervals", text) for text in ("1.5", '["a"]', "{}", "true", '"12"', "[null]")],
        *[("repeat_intervals", text) for text in ("1.5", '["a"]', "{}")],
        ("meta", pickle.dumps([1])),
        ("meta", pickle.dumps("text")),
    ],
)
def test_intervals_and_meta_of_the_wrong_kind_end_no_consumer(
    redis: redis_py.Redis, function: tuple[Any, ...], field: str, value: str | bytes
) -> None:
    queue = Queue("default", connection=redis)
    odd, good = queue.enqueue(*function, retry=Retry(max=2)), queue.enqueue(tasks.add, 1, 2)
    redis.hset(odd.key, field, value)
    consumer(redis).work(burst=True)
    assert good.get_status() == "finished"
    assert redis.hget(odd.key, "status") in (b"failed", b"finished")
    if field != "meta":
        assert json.loads(redis.hget(odd.key, "dead_letter"))["reason"] == "unreadable_hash"


def test_a_job_that_was_moved_to_another_queue_is_rescued_where_it_belongs(redis: redis_py.Redis) -> None:
    """Its claim stands in the registry of its origin, which nobody here serves."""
    queue, other = Queue("default", connection=redis), Queue("elsewhere", connection=redis)
    job = other.enqueue(tasks.add, 1, 2)
    redis.lmove(other.key, queue.key)
    desk(redis, "dead").settle_and_claim([], 1)
    assert orphans(script_calls(redis), ["default"]).dead == ["dead"]
    assert rescuer(redis, "default").rescue_orphans() == 1
    assert redis.lrange(other.key, 0, -1) == [job.id.encode()]
    assert rescuer(redis, "default").rescue_orphans() == 0
    assert not redis.exists("rq:origins")
