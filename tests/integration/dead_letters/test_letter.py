"""What a dead letter takes of the server's memory, beside the failed job that RQ keeps of the same failure."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, SimpleWorker
from rq.job import Job
from rq.results import Result

from tests.support import tasks
from tests.support.letters import box as letters
from tests.support.letters import bury, collect
from tests.support.waiting import eventually
from tests.support.worker import work

CALLBACK = {"on_failure": Callback(tasks.on_failure)}


def taken(redis: redis_py.Redis, job: Job) -> dict[str, int]:
    """The bytes of every key of a job."""
    return {key.decode(): redis.memory_usage(key, samples=0) for key in redis.scan_iter(f"rq:*{job.id}*")}


def fail(redis: redis_py.Redis, job_id: str, **options: Any) -> Job:
    queue = Queue("default", connection=redis)
    return queue.enqueue(tasks.parse, '{"price": ' * 40, job_id=job_id, description="read an answer", **options)


def by_rq(redis: redis_py.Redis, **options: Any) -> Job:
    job = fail(redis, "by-rq", **options)
    SimpleWorker(["default"], connection=redis).work(burst=True)
    return job


def by_script(redis: redis_py.Redis, **options: Any) -> Job:
    job = fail(redis, "ours", **options)
    work(redis)
    return job


def by_rqs_code(redis: redis_py.Redis, **options: Any) -> Job:
    return by_script(redis, **CALLBACK, **options)


def collected(redis: redis_py.Redis, **options: Any) -> Job:
    job = fail(redis, "ours", **options)
    SimpleWorker(["default"], connection=redis).work(burst=True)
    collect(redis)
    return job


@pytest.mark.parametrize("end", [by_script, by_rqs_code, collected])
@pytest.mark.parametrize("meta", [None, {"asked_by": "api", "page": "https://shop.example/" + "p" * 80}])
def test_it_takes_no_more_than_rqs_failed_job(
    redis: redis_py.Redis, end: Callable[..., Job], meta: dict[str, str] | None
) -> None:
    theirs = taken(redis, by_rq(redis, meta=meta, **(CALLBACK if end is by_rqs_code else {})))
    redis.flushdb()
    job = end(redis, meta=meta)
    ours = taken(redis, job)
    assert {key.replace("by-rq", "ours") for key in theirs} == set(ours), "and keys of the same names"
    assert sum(ours.values()) <= sum(theirs.values()), (ours, theirs)


def test_every_reader_finds_the_whole_traceback_once(redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.parse, "{")
    result = job.latest_result()
    assert result is not None
    assert result.type == Result.Type.FAILED
    assert str(result.exc_string).startswith("Traceback")
    assert 'tasks.py", line' in str(result.exc_string)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert job.exc_info == result.exc_string
    assert letters(redis).letters([job.id])[0].record["traceback"] == result.exc_string
    stored = b"".join(redis.hgetall(job.key).values())
    assert b"Traceback" not in stored
    assert job.get_meta()["dead_letter"]["exception"] == "json.decoder.JSONDecodeError"


def test_a_sentence_of_ours_is_no_traceback(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue("os.getcwd")
    work(redis)
    assert "traceback" not in letters(redis).letters([job.id])[0].record


def test_a_letter_of_an_earlier_release_keeps_the_traceback_in_its_record(redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.boom)
    redis.hset(job.key, "dead_letter", '{"reason": "failed", "exception": "ValueError", "traceback": "as it was"}')
    assert letters(redis).letters([job.id])[0].record["traceback"] == "as it was"


@pytest.mark.parametrize("command", ["copy", "rename"])
def test_where_a_user_may_not_copy_the_letter_is_larger_and_nothing_else(redis: redis_py.Redis, command: str) -> None:
    redis.execute_command("ACL", "SETUSER", "default", f"-{command}")
    try:
        job = by_script(redis)
    finally:
        redis.execute_command("ACL", "SETUSER", "default", f"+{command}")
    assert job.get_status() == "failed"
    assert str(job.latest_result().exc_string).startswith("Traceback")
    assert redis.keys("*:copy") == []
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [b"ours"]


def test_a_client_that_waits_for_the_result_gets_it(redis: redis_py.Redis) -> None:
    """The stream is copied and renamed in the step that writes it."""
    job = fail(redis, "ours")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: job.latest_result(timeout=30))
        eventually(lambda: redis.info("clients")["blocked_clients"] == 1, what="a client that waits")
        work(redis)
        result = waiting.result(30)
    assert result is not None
    assert str(result.exc_string).startswith("Traceback")
    assert redis.ttl("rq:results:ours") > 0
