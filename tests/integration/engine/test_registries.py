"""RQ's registries get the care that RQ's own workers give them: nothing grows and nothing waits for ever."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Worker
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.worker import BaseWorker
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.engine import aged, register, script_calls
from tests.support.worker import work
from worker.engine import registries, rq_burial

LIMIT = RateLimit("shop", 1)


def maintain(redis: redis_py.Redis) -> int:
    """Take one whole pass; returns in how many steps."""
    return 1 + sum(1 for _ in registries.steps(script_calls(redis), called_for=True))


def ran(redis: redis_py.Redis, job: Job) -> bool:
    work(redis)
    return str(job.get_status().value) == "finished"


# -- what has expired --------------------------------------------------------------------------------------------------


def test_entries_of_finished_and_failed_jobs_go_when_they_expire_and_those_for_ever_stay(
    redis: redis_py.Redis, queue: Queue
) -> None:
    passing, lasting = queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.add, 1, 2, result_ttl=-1)
    failing, kept = queue.enqueue(tasks.boom, failure_ttl=100), queue.enqueue(tasks.boom, failure_ttl=-1)
    work(redis)
    maintain(redis)
    finished, failed = FinishedJobRegistry(queue=queue), FailedJobRegistry(queue=queue)
    assert set(finished.get_job_ids(cleanup=False)) == {passing.id, lasting.id}
    assert set(failed.get_job_ids(cleanup=False)) == {failing.id, kept.id}
    for registry, job in ((finished, passing), (failed, failing)):
        assert redis.zscore(registry.key, job.id) > redis.time()[0]
        redis.zadd(registry.key, {job.id: redis.time()[0] - 1})
    maintain(redis)
    assert finished.get_job_ids(cleanup=False) == [lasting.id]
    assert failed.get_job_ids(cleanup=False) == [kept.id]


def test_a_long_neglected_registry_is_trimmed_in_steps(redis: redis_py.Redis, queue: Queue) -> None:
    queue.enqueue(tasks.add, 1, 2)
    redis.zadd("rq:finished:default", {f"job-{number}": number for number in range(25_000)})
    redis.zadd("rq:finished:default", {"for ever": "+inf"})
    assert maintain(redis) == 3
    assert redis.zrange("rq:finished:default", 0, -1) == [b"for ever"]


def test_workers_that_are_gone_are_forgotten(redis: redis_py.Redis, queue: Queue) -> None:
    queue.enqueue(tasks.add, 1, 2)
    register(redis, "living")
    for key in ("rq:workers", "rq:workers:default"):
        redis.sadd(key, "rq:worker:living", "rq:worker:gone")
    maintain(redis)
    assert [worker.name for worker in Worker.all(connection=redis)] == ["living"]
    assert redis.smembers("rq:workers") == redis.smembers("rq:workers:default") == {b"rq:worker:living"}


def test_groups_lose_jobs_that_are_gone_and_go_when_they_are_empty(redis: redis_py.Redis, queue: Queue) -> None:
    data = [Queue.prepare_data(tasks.add, (1, 2)) for _ in range(3)]
    kept, emptied = Group.create(redis, "kept"), Group.create(redis, "emptied")
    jobs = kept.enqueue_many(queue, data) + emptied.enqueue_many(queue, data)
    redis.delete(*(job.key for job in jobs[1:]))
    maintain(redis)
    assert redis.smembers("rq:groups") == {b"kept"}
    assert redis.smembers(kept.key) == {jobs[0].id.encode()}


# -- what waited for others --------------------------------------------------------------------------------------------


def test_a_job_that_was_ready_when_the_worker_of_its_parent_died_is_enqueued(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = queue.enqueue(tasks.add, 1, 2)
    child = queue.enqueue(tasks.add, 3, 4, depends_on=parent)
    with monkeypatch.context() as dying:
        dying.setattr(rq_burial.ParentQueue, "enqueue_ready_jobs_by_queue", lambda *_: None)
        work(redis)
    assert (parent.get_status(), child.get_status()) == ("finished", "ready_to_enqueue")
    maintain(redis)
    assert child.get_status() == "ready_to_enqueue", "its worker may be about to do it"
    redis.zadd("rq:ready:default", {child.id: redis.time()[0] - 61})
    with capture_logs() as told:
        maintain(redis)
    assert [(line["event"], line["job_id"], line["status"]) for line in told] == [
        ("job.put_back", child.id, "ready_to_enqueue")
    ]
    assert redis.zcard("rq:ready:default") == 0
    assert ran(redis, child)


def by_rq(queue: Queue) -> Job:
    """A parent whose failure RQ's code writes."""
    return queue.enqueue(tasks.boom)


def by_script(queue: Queue) -> Job:
    """A parent that may not run: its burial is one script, then others are told."""
    return queue.enqueue("os.getcwd")


@pytest.mark.parametrize("fail", [by_rq, by_script])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_job_that_nobody_told_of_its_parents_failure_goes_on_if_it_may(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch, fail: Any, allowed: bool
) -> None:
    parent = fail(queue)
    child = queue.enqueue(tasks.add, 3, 4, depends_on=Dependency([parent], allow_failure=allowed))
    with monkeypatch.context() as dying:
        dying.setattr(BaseWorker, "_enqueue_dependents_safely", lambda *_: None)
        dying.setattr(rq_burial.ParentQueue, "enqueue_dependents", lambda *_: None)
        work(redis)
    assert (parent.get_status(), child.get_status()) == ("failed", "deferred")
    maintain(redis)
    assert child.get_status() == "deferred", "its worker may be about to do it"
    aged(parent)
    maintain(redis)
    assert child.get_status() == ("queued" if allowed else "deferred")
    assert redis.zcard("rq:deferred:default") == (0 if allowed else 1)
    assert ran(redis, child) == allowed


@pytest.mark.parametrize("other", ["running", "failed", "canceled", "gone"])
def test_a_job_goes_on_only_when_all_that_it_waits_for_have_ended_well(
    redis: redis_py.Redis, queue: Queue, other: str
) -> None:
    parents = [queue.enqueue(tasks.add, 1, 2) for _ in range(2)]
    child = queue.enqueue(tasks.add, 3, 4, depends_on=parents)
    for parent in parents:
        redis.hset(parent.key, "status", "finished")
        aged(parent)
    if other == "gone":
        redis.delete(parents[1].key)
    else:
        redis.hset(parents[1].key, "status", "started" if other == "running" else other)
    maintain(redis)
    assert child.get_status() == "deferred"
    assert redis.zrange("rq:deferred:default", 0, -1) == [child.id.encode()]


def test_a_job_that_went_on_waits_for_its_rate_limit(redis: redis_py.Redis, queue: Queue) -> None:
    parent, busy = queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.add, 1, 2, rate_limit=LIMIT)
    child = queue.enqueue(tasks.add, 3, 4, depends_on=parent, rate_limit=LIMIT)
    redis.hset(parent.key, "status", "finished")
    aged(parent)
    maintain(redis)
    assert (busy.get_status(), child.get_status()) == ("queued", "rate_limited")
    assert ran(redis, busy)
    assert ran(redis, child)


def test_thousands_of_waiting_jobs_are_looked_at_in_steps_and_none_is_passed_over(
    redis: redis_py.Redis, queue: Queue
) -> None:
    """Every second one waits for a job that still runs, so that what is left shifts while it is looked at."""
    over, running = queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.add, 1, 2)
    redis.hset(over.key, "status", "finished")
    aged(over)
    with redis.pipeline() as pipeline:
        for number in range(3_000):
            job_id, parent = f"job-{number:04}", (over, running)[number % 2]
            fields = {"status": "deferred", "origin": "default", "created_at": "2026-11-25T04:37:30.000000Z"}
            pipeline.hset(f"rq:job:{job_id}", mapping=fields)
            pipeline.sadd(f"rq:job::{job_id}:dependencies", parent.id)
            pipeline.zadd("rq:deferred:default", {job_id: number})
        pipeline.execute()
    assert maintain(redis) > 3
    assert redis.zcard("rq:deferred:default") == 1_500
    assert redis.lrange("rq:queue:default", 2, -1) == [f"job-{number:04}".encode() for number in range(0, 3_000, 2)]


def test_an_unreadable_job_and_one_that_is_gone_keep_nobody_waiting(redis: redis_py.Redis, queue: Queue) -> None:
    queue.enqueue(tasks.add, 1, 2)
    for job_id in ("gone", "bad", "good"):
        redis.zadd("rq:ready:default", {job_id: 1})
        if job_id != "gone":
            redis.hset(f"rq:job:{job_id}", mapping={"status": "ready_to_enqueue", "created_at": "yesterday"})
    redis.delete("rq:job:gone")
    maintain(redis)
    assert redis.lrange("rq:queue:default", 1, -1) == [b"bad", b"good"], "a claim buries what it cannot read"
    assert redis.zcard("rq:ready:default") == 0


# -- what waited for a slot --------------------------------------------------------------------------------------------


def test_a_slot_that_a_dead_worker_did_not_give_back_is_free_again(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (queue.enqueue(tasks.boom, rate_limit=LIMIT) for _ in range(2))
    with monkeypatch.context() as dying:
        dying.setattr(BaseWorker, "_release_slot_safely", lambda *_: None)
        work(redis)
    assert (first.get_status(), second.get_status()) == ("failed", "rate_limited")
    maintain(redis)
    assert second.get_status() == "queued"
    work(redis)
    maintain(redis)
    assert RateLimitRegistry.all(redis) == []


def test_a_rate_limit_that_is_none_keeps_no_other_one_waiting(redis: redis_py.Redis, queue: Queue) -> None:
    for number in range(3):
        redis.sadd("rq:rl-keys", f"bad-{number}")
        redis.hset(f"rq:rl:bad-{number}", "concurrency", "many")
    queue.enqueue(tasks.add, 1, 2, rate_limit=LIMIT)
    waiting = queue.enqueue(tasks.add, 1, 2, rate_limit=LIMIT)
    redis.zrem("rq:rl:shop:allowed", *redis.zrange("rq:rl:shop:allowed", 0, -1))
    with capture_logs() as told:
        maintain(redis)
    assert waiting.get_status() == "queued"
    assert {line["rate_limit"] for line in told} == {"bad-0", "bad-1", "bad-2"}


# -- once for a fleet ------------------------------------------------------------------------------------------------


def test_a_regular_pass_spares_the_other_instances_theirs_and_a_death_does_not(
    redis: redis_py.Redis, queue: Queue
) -> None:
    queue.enqueue(tasks.add, 1, 2)
    script = script_calls(redis)

    def leaves(**how: bool) -> int:
        redis.zadd("rq:finished:default", {"expired": 1})
        for _ in registries.steps(script, spare=540, **how):
            pass
        return int(redis.zcard("rq:finished:default"))

    assert [leaves(), leaves(), leaves(called_for=True), leaves()] == [0, 1, 0, 1]
    assert 500 < redis.ttl("rq:maintained") <= 540
    redis.delete("rq:maintained")
    assert leaves() == 0
