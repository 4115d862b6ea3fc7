"""`WORKER_RETRY_ATTEMPTS`: retries for jobs that ask for none themselves, seen as an operator sees them."""

from __future__ import annotations

import re

import redis as redis_py
from rq import Queue, Retry
from rq.registry import ScheduledJobRegistry

from tests.support import tasks
from tests.support.engine import script_calls
from tests.support.letters import record
from tests.support.worker import consumer
from worker.dispatcher.scheduled_jobs import move_due

AT_ONCE = {"WORKER_RETRY_ATTEMPTS": "3", "WORKER_RETRY_BASE": "0"}


def test_any_job_has_so_many_attempts(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom)
    consumer(redis, **AT_ONCE).work(burst=True)
    assert (record(redis, job.id)["attempts"], record(redis, job.id)["reason"]) == (3, "attempts_exhausted")


def test_without_the_setting_a_failure_is_final_as_with_rq(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom)
    consumer(redis).work(burst=True)
    assert (record(redis, job.id)["attempts"], record(redis, job.id)["reason"]) == (1, "failed")


def test_the_producer_and_the_function_and_the_error_know_better(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    one_retry = queue.enqueue(tasks.boom, retry=Retry(max=1))
    permanent = queue.enqueue(tasks.give_up)
    consumer(redis, **AT_ONCE).work(burst=True)
    assert (record(redis, one_retry.id)["attempts"], record(redis, permanent.id)["attempts"]) == (2, 1)


def test_the_next_attempt_is_where_rq_shows_scheduled_jobs(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom, "no luck")
    consumer(redis, WORKER_RETRY_ATTEMPTS="2", WORKER_RETRY_BASE="3600", WORKER_RETRY_CAP="3600").work(burst=True)
    assert job.get_status() == "scheduled"
    assert ScheduledJobRegistry(queue=queue).get_job_ids() == [job.id]
    assert redis.hget(job.key, "attempts") == b"1"
    assert re.match(rb"ValueError: no luck", redis.hget(job.key, "last_error"))
    redis.zadd("rq:scheduled:default", {job.id: 1})
    assert move_due(script_calls(redis), ["default"])[0] == 1
    consumer(redis, WORKER_RETRY_ATTEMPTS="2", WORKER_RETRY_BASE="3600").work(burst=True)
    assert record(redis, job.id)["attempts"] == 2
