"""What a job may use of the worker."""

from __future__ import annotations

import contextlib
import threading
from time import perf_counter

import pytest
import redis as redis_py
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job
from structlog.testing import capture_logs

from worker import context
from worker.context import JobContext, OfflineContext


@pytest.fixture
def job(redis: redis_py.Redis) -> Job:
    return Queue("high", connection=redis).enqueue("jobs.products.analyze_product", "https://x.example/")


@pytest.fixture
def nowhere() -> redis_py.Redis:
    """A connection to a port where nobody listens."""
    return redis_py.Redis(port=1, retry=Retry(NoBackoff(), 0))


def test_outside_a_job_everything_stays_in_memory() -> None:
    ctx = context.current()
    assert isinstance(ctx, OfflineContext)
    assert ctx is context.current()
    assert (ctx.attempt, ctx.allow_private_addresses, ctx.notify_secret) == (1, False, None)


def test_offline_progress_and_cache_can_be_read_back() -> None:
    ctx = OfflineContext()
    ctx.progress(10, "fetching")
    ctx.cache_set("key", b"value", 60)
    assert ctx.reported == [{"percent": 10, "message": "fetching"}]
    assert ctx.cache_get("key") == b"value"
    assert ctx.cache_get("other") is None


def test_an_offline_cache_entry_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(context, "monotonic", lambda: now)
    ctx = OfflineContext()
    ctx.cache_set("key", b"value", 5)
    now = 1004.9
    assert ctx.cache_get("key") == b"value"
    now = 1005.0
    assert ctx.cache_get("key") is None


def test_offline_contexts_are_different_jobs() -> None:
    assert OfflineContext().job_id != OfflineContext().job_id


def test_use_nests_and_restores_even_after_an_error() -> None:
    outer, inner = OfflineContext("outer"), OfflineContext("inner")
    before = context.current()
    with context.use(outer):
        with contextlib.suppress(KeyError), context.use(inner) as entered:
            assert context.current() is entered is inner
            raise KeyError
        assert context.current() is outer
    assert context.current() is before


def test_threads_do_not_see_each_others_context() -> None:
    seen: list[JobContext] = []
    with context.use(OfflineContext("mine")) as mine:
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        thread.start()
        thread.join()
    assert seen[0] is not mine


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


def test_a_context_costs_next_to_nothing(redis: redis_py.Redis, job: Job) -> None:
    rounds = 2000
    best = min(_seconds(rounds, redis, job) for _ in range(5))
    assert best / rounds < 5e-6  # measured 0.5 µs; the bound allows for a busy machine


def _seconds(rounds: int, redis: redis_py.Redis, job: Job) -> float:
    started = perf_counter()
    for _ in range(rounds):
        JobContext.for_job(job, redis, "high", 1, allow_private_addresses=False, notify_secret=None)
    return perf_counter() - started


def test_a_job_may_enqueue_another_one_and_ask_how_it_is(redis: redis_py.Redis, job: Job) -> None:
    producer = JobContext.for_job(job, redis, "high", 1).producer()
    follower = producer.enqueue("jobs.products.analyze_product", "https://x.example/", queue="low")
    assert producer.status(follower.id).status == "queued"
    assert Queue("low", connection=redis).job_ids == [follower.id]


def test_outside_a_job_there_is_no_producer() -> None:
    with pytest.raises(RuntimeError, match="Outside a worker"):
        OfflineContext().producer()
