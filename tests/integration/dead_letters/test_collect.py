"""Failures of plain RQ workers are collected: each becomes a dead letter as ours would have written it."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.timeouts import JobTimeoutException

from tests.support import tasks
from tests.support.letters import box, bury, collect, ids, record, seed
from worker.dead_letters import collect as collect_module


def fail_with_plain_rq(redis: redis_py.Redis, function: Any = tasks.boom, *args: Any, **options: Any) -> Job:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(function, *args, **options)
    SimpleWorker([queue], connection=redis).work(burst=True)
    assert job.get_status() == "failed"
    return job


def test_a_failure_of_a_plain_worker_gets_the_record_that_ours_would_have_written(redis: redis_py.Redis) -> None:
    ours, theirs = bury(redis, tasks.boom, "no such page"), fail_with_plain_rq(redis, tasks.boom, "no such page")
    collect(redis)
    assert ids(redis) == [ours.id, theirs.id]
    mine, found = record(redis, ours.id), record(redis, theirs.id)
    alike = ("exception", "message", "fingerprint", "function", "queue", "attempts")
    assert {name: found[name] for name in alike} == {name: mine[name] for name in alike}
    assert (found["reason"], found["release"]) == ("failed_elsewhere", "abc123")
    assert box(redis).letters([theirs.id])[0].record["traceback"].endswith("ValueError: no such page\n")
    assert theirs.get_meta(refresh=True)["dead_letter"] == found
    collect(redis)
    assert ids(redis) == [ours.id, theirs.id], "it is collected once"


def timed_out() -> None:
    raise JobTimeoutException("Task exceeded maximum timeout value (1 seconds)")


def test_a_timeout_under_a_plain_worker_is_named_as_such(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis, "tests.integration.dead_letters.test_collect.timed_out")
    collect(redis)
    assert record(redis, job.id)["reason"] == "timeout"


def test_what_was_stopped_by_order_is_no_dead_letter(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis)
    redis.hset(job.key, "status", "stopped")
    collect(redis)
    assert ids(redis) == []


def test_a_hash_that_cannot_be_read_is_collected_all_the_same(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis)
    redis.hset(job.key, "created_at", "yesterday")
    collect(redis)
    assert ids(redis) == [job.id]
    assert record(redis, job.id)["exception"] == "ValueError"


def test_a_letter_that_rq_requeued_and_a_plain_worker_failed_again_has_the_new_record(redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.boom, "first")
    job.requeue()
    redis.hset(job.key, "data", Job.create(tasks.give_up, connection=redis).to_dict()["data"])
    queue = Queue("default", connection=redis)
    SimpleWorker([queue], connection=redis).work(burst=True)
    collect(redis)
    assert ids(redis) == [job.id], "there once"
    told = record(redis, job.id)
    assert told["exception"] == "worker.retry.PermanentError"
    assert [entry["message"] for entry in told["history"]] == ["first"]


def test_entries_whose_job_is_gone_leave_the_registry(redis: redis_py.Redis) -> None:
    kept, gone = bury(redis), bury(redis)
    redis.delete(gone.key)
    collect(redis)
    assert FailedJobRegistry("default", connection=redis).get_job_ids(cleanup=False) == [kept.id]


def test_a_pass_takes_small_steps(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_module, "PAGE", 4)
    monkeypatch.setattr(collect_module, "BATCH", 3)
    seed(redis, 11)
    redis.delete("rq:queue:dead-letter")
    for number in range(11):
        redis.hdel(f"rq:job:letter-{number}", "dead_letter", "buried_at")
    collect(redis, "default")
    assert sorted(ids(redis)) == sorted(f"letter-{number}" for number in range(11))
