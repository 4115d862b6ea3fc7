"""What a job raises, returns, logs or is called may be far too large: it ends once, in few words, and others run."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.job import Job

from tests.support import letters, oversized
from tests.support.worker import consumer
from worker import logs

SOME_KB = 40_000  #: characters of a log line, and bytes of all that is kept of an error
JOBS = {"WORKER_JOB_MODULES": "tests.support.oversized"}


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("DEBUG", "json", stream=stream)
    logging.getLogger("rq.worker").setLevel(logging.DEBUG)
    return stream


def timeout_of(function: Callable[[], None]) -> int:
    """Return a second for what never ends, time enough on a busy machine for what does."""
    return 1 if "never_comes" in function.__name__ else 60


def assert_few_words(redis: redis_py.Redis, out: io.StringIO, job: Job, neighbour: Job) -> dict[str, Any]:
    """Assert that the job has failed once, in few words, and that its neighbour ran; returns its record."""
    assert neighbour.get_status() == "finished"
    assert job.get_status() == "failed"
    assert max(map(len, out.getvalue().splitlines())) < SOME_KB
    kept = {name: value for name, value in redis.hgetall(f"rq:job:{job.id}").items() if name != b"description"}
    assert sum(map(len, kept.values())) < 3 * SOME_KB
    (result,) = job.results()
    assert 0 < len(result.exc_string or "") < 2 * SOME_KB
    assert out.getvalue().count('"job.buried"') == 1
    return letters.record(redis, job.id)


@pytest.mark.parametrize(
    ("function", "exception", "words"),
    [
        (oversized.message, "ValueError", ""),
        (oversized.note, "ValueError", "noted"),
        (oversized.class_name, "tests.support.oversized.VVVVVV", ""),
        (
            oversized.text_exits,
            "tests.support.oversized.Mean",
            "its text cannot be shown: making it raised SystemExit",
        ),
        (oversized.text_is_none, "tests.support.oversized.Numb", "making it raised TypeError"),
        (oversized.text_never_comes, "rq.timeouts.JobTimeoutException", "exceeded its timeout of 1 seconds"),
        (oversized.argument_never_comes, "rq.timeouts.JobTimeoutException", "exceeded its timeout of 1 seconds"),
        (oversized.chain, "ValueError", "number 9999"),
        (oversized.group, "ExceptionGroup", "many (10000 sub-exceptions)"),
        (oversized.nested_groups, "ExceptionGroup", "one (1 sub-exception)"),
        (oversized.deep, "tests.support.oversized.Numb", "making it raised TypeError"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_an_error_that_cannot_be_shown_as_it_is_ends_its_job_once_and_in_few_words(
    redis: redis_py.Redis,
    queue: Queue,
    out: io.StringIO,
    function: Callable[[], None],
    exception: str,
    words: str,
) -> None:
    job = queue.enqueue(function, job_timeout=timeout_of(function))
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert record["exception"].startswith(exception)
    assert words in record["message"]


@pytest.mark.parametrize("function", [oversized.message, oversized.text_never_comes, oversized.chain])
def test_such_an_error_is_retried_by_the_class_that_the_job_raised(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO, function: Callable[[], None]
) -> None:
    job = queue.enqueue(function, job_timeout=timeout_of(function), retry=Retry(max=1))
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert (record["reason"], record["attempts"]) == ("attempts_exhausted", 2)


def test_a_permanent_error_with_a_huge_text_is_not_retried(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO
) -> None:
    job = queue.enqueue(oversized.permanent, retry=Retry(max=3))
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert (record["reason"], record["attempts"]) == ("permanent", 1)


@pytest.mark.parametrize("function", [oversized.message, oversized.text_never_comes, oversized.group])
def test_a_failure_callback_with_a_huge_error_changes_nothing_of_that(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO, function: Callable[[], None]
) -> None:
    job = queue.enqueue(function, job_timeout=timeout_of(function), on_failure=Callback(oversized.message_on_failure))
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    assert_few_words(redis, out, job, neighbour)


def test_a_success_callback_with_a_huge_error_fails_its_job_in_few_words(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO
) -> None:
    job = queue.enqueue(oversized.harmless, on_success=Callback(oversized.message_on_success))
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    assert_few_words(redis, out, job, neighbour)


def test_a_result_above_its_limit_is_refused_with_both_sizes_and_the_variable(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO
) -> None:
    job = queue.enqueue(oversized.result)
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert record["reason"] == "result_too_large"
    assert "The job returned 8,000,012 bytes" in record["message"]
    assert "WORKER_MAX_RESULT_BYTES allows 4,000,000." in record["message"]


def test_a_job_may_log_and_be_described_with_whatever_it_likes(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO
) -> None:
    jobs = [
        queue.enqueue(oversized.logs_much),
        queue.enqueue(oversized.harmless, description="d" * oversized.HUGE),
        queue.enqueue(oversized.harmless, job_id="i" * 100_000),
    ]
    consumer(redis, **JOBS).work(burst=True)
    assert [job.get_status() for job in jobs] == ["finished"] * 3
    assert max(map(len, out.getvalue().splitlines())) < SOME_KB


@pytest.mark.parametrize("name", ["oversized." * 600_000 + "f", "o" * oversized.HUGE])
def test_a_huge_function_name_is_refused_at_once(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO, name: str
) -> None:
    job = queue.enqueue(f"tests.support.{name}")
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert record["reason"] == "refused_function"
    assert "characters; 255 are allowed" in record["message"]


@pytest.mark.parametrize("function", [oversized.saves_meta, oversized.reports_progress])
def test_a_job_that_saves_too_much_meta_gets_an_error_where_it_does(
    redis: redis_py.Redis, queue: Queue, out: io.StringIO, function: Callable[[], None]
) -> None:
    job = queue.enqueue(function, meta={"tenant": 7})
    neighbour = queue.enqueue(oversized.harmless)
    consumer(redis, **JOBS).work(burst=True)
    record = assert_few_words(redis, out, job, neighbour)
    assert record["exception"] == "worker.engine.meta.MetaTooLarge"
    assert "The job's meta would have 6,000,0" in record["message"]
    assert "WORKER_MAX_RESULT_BYTES allows 4,000,000." in record["message"]
    (result,) = job.results()
    assert f"in {function.__name__}" in str(result.exc_string)
    assert job.get_meta()["tenant"] == 7
