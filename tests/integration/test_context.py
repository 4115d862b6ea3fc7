"""What a job may use of the worker."""

from __future__ import annotations

import pytest
import redis as redis_py
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job
from structlog.testing import capture_logs

from worker.context import JobContext


@pytest.fixture
def job(redis: redis_py.Redis) -> Job:
    return Queue("high", connection=redis).enqueue("jobs.invoices.send_invoice", "https://x.example/")


@pytest.fixture
def nowhere() -> redis_py.Redis:
    """A connection to a port where nobody listens."""
    return redis_py.Redis(port=1, retry=Retry(NoBackoff(), 0))


def test_a_jobs_context_tells_what_the_consumer_knows(redis: redis_py.Redis, job: Job) -> None:
    secret = SecretStr("s3cret")
    ctx = JobContext.for_job(job, redis, "high", 2, allow_private_addresses=True, notify_secret=secret)
    assert (ctx.job_id, ctx.queue, ctx.attempt) == (job.id, "high", 2)
    assert ctx.allow_private_addresses is True
    assert ctx.notify_secret is secret
    assert "s3cret" not in repr(ctx)


def test_progress_is_read_by_any_rq_client(redis: redis_py.Redis, job: Job) -> None:
    job.meta["asked_by"] = "api"
    JobContext.for_job(job, redis, "high", 1).progress(40, "reading the page")
    meta = Job.fetch(job.id, connection=redis).meta
    assert meta == {"asked_by": "api", "progress": {"percent": 40, "message": "reading the page"}}


@pytest.mark.parametrize(("given", "told"), [(-3, 0), (140, 100), (33, 33)])
def test_progress_stays_between_0_and_100(redis: redis_py.Redis, job: Job, given: int, told: int) -> None:
    JobContext.for_job(job, redis, "high", 1).progress(given, "")
    assert Job.fetch(job.id, connection=redis).meta["progress"]["percent"] == told


def test_the_cache_is_shared_between_jobs_and_expires(redis: redis_py.Redis, job: Job) -> None:
    JobContext.for_job(job, redis, "high", 1).cache_set("k", b"\x00v", 90)
    assert JobContext.for_job(job, redis, "low", 1).cache_get("k") == b"\x00v"
    assert 30 <= redis.ttl(f"{RQ_KEY_PREFIX}:cache:k") <= 90
    assert JobContext.for_job(job, redis, "low", 1).cache_get("unknown") is None


def test_redis_trouble_is_a_miss_that_is_logged_once(nowhere: redis_py.Redis, job: Job) -> None:
    job.connection = nowhere
    ctx = JobContext.for_job(job, nowhere, "high", 1)
    with capture_logs() as logs:
        ctx.progress(10, "fetching")
        ctx.cache_set("key", b"value", 5)
        assert ctx.cache_get("key") is None
    assert logs == [
        {
            "event": "job.context_degraded",
            "log_level": "warning",
            "operation": "progress",
            "error": "ConnectionError",
        }
    ]


def test_a_bug_is_not_mistaken_for_redis_trouble(redis: redis_py.Redis, job: Job) -> None:
    ctx = JobContext.for_job(job, redis, "high", 1)
    with pytest.raises(TypeError):
        ctx.cache_set("key", b"value", None)  # type: ignore[arg-type]


def test_a_job_may_enqueue_another_one_and_ask_how_it_is(redis: redis_py.Redis, job: Job) -> None:
    producer = JobContext.for_job(job, redis, "high", 1).producer()
    follower = producer.enqueue("jobs.invoices.send_invoice", "https://x.example/", queue="low")
    assert producer.status(follower.id).status == "queued"
    assert Queue("low", connection=redis).job_ids == [follower.id]
