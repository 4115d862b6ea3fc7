"""Running one job: what its code raises is its own failure, whatever the gates before a payload are called."""

from __future__ import annotations

import json
import string
from http import HTTPStatus
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.results import Result

from tests.support import letters, neighbours, tasks
from tests.support.worker import consumer, work

ALLOWED = {"WORKER_PICKLE_CLASSES": "http.cookies.SimpleCookie,http.cookies.Morsel"}


def test_a_parents_value_that_may_not_be_read_fails_the_child_as_any_error_of_its_code_does(
    redis: redis_py.Redis, queue: Queue
) -> None:
    parent = queue.enqueue(tasks.cookies, "cart=7")
    child = queue.enqueue(tasks.reads_its_parent, depends_on=parent, retry=Retry(max=1))
    consumer(redis).work(burst=True)
    assert parent.get_status() == "finished", "whoever reads it may know the class"
    assert child.get_status() == "failed"
    record = letters.record(redis, child.id)
    assert (record["reason"], record["attempts"]) == ("attempts_exhausted", 2)
    assert "The pickle names http.cookies.SimpleCookie" in record["message"]
    result = child.latest_result()
    assert result is not None
    assert result.type == Result.Type.FAILED
    assert "in reads_its_parent" in str(result.exc_string), "the job's own line is what a person looks for"


def test_a_parents_value_of_an_allowed_class_is_read(redis: redis_py.Redis, queue: Queue) -> None:
    parent = queue.enqueue(tasks.cookies, "cart=7")
    child = queue.enqueue(tasks.reads_its_parent, depends_on=parent)
    consumer(redis, **ALLOWED).work(burst=True)
    assert child.return_value()["cart"].value == "7"


def test_a_job_whose_argument_was_refused_runs_once_its_class_is_allowed(redis: redis_py.Redis, queue: Queue) -> None:
    job = queue.enqueue(tasks.look, tasks.cookies("cart=7"))
    consumer(redis).work(burst=True)
    record = letters.record(redis, job.id)
    assert (record["reason"], record["function"]) == ("refused_class", "tests.support.tasks.look")
    other = queue.enqueue(tasks.look, string.Formatter())
    consumer(redis).work(burst=True)
    assert letters.record(redis, other.id)["fingerprint"] != record["fingerprint"], "each class is a kind of its own"
    job.requeue()
    consumer(redis, **ALLOWED).work(burst=True)
    assert job.return_value()["cart"].value == "7"


def test_plain_data_of_pythons_own_comes_and_goes(redis: redis_py.Redis, queue: Queue) -> None:
    value = [Path("/a"), ip_network("10.0.0.0/8"), HTTPStatus.OK, SimpleNamespace(a=1), KeyError("a").args]
    job = queue.enqueue(tasks.look, value)
    child = queue.enqueue(tasks.reads_its_parent, depends_on=job)
    consumer(redis).work(burst=True)
    assert child.return_value() == value


def test_what_json_cannot_carry_is_null_in_result_and_meta(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis, serializer="json")
    result = queue.enqueue(tasks.divide, 1.0, 0.0)
    meta = queue.enqueue(tasks.note_ratio, 1.0, 0.0)
    consumer(redis).work(burst=True)
    assert result.return_value() is None, "1 / 0"
    assert json.loads(redis.hget(meta.key, "meta") or b"", parse_constant=pytest.fail) == {
        "ratio": None,
        "progress": {"percent": None, "message": "dividing"},
    }


NEIGHBOURS = {"WORKER_JOB_MODULES": "tests.support.neighbours"}


@pytest.mark.parametrize("threads", ["1", "3"])
def test_nothing_that_a_job_binds_in_its_context_reaches_the_next(
    redis: redis_py.Redis, queue: Queue, threads: str
) -> None:
    fresh = neighbours.seen()
    left = [queue.enqueue(neighbours.bind) for _ in range(9)]
    work(redis, WORKER_THREADS=threads, **NEIGHBOURS)
    assert [job.return_value() for job in left] == [["tenant-a", "ann", 3]] * 9
    found = [queue.enqueue(function) for function in (neighbours.look, neighbours.look_async) * 5]
    work(redis, WORKER_THREADS=threads, **NEIGHBOURS)
    assert [job.return_value() for job in found] == [fresh] * 10
    assert neighbours.seen() == fresh, "nor the one who runs the worker"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_callback_runs_in_the_context_of_its_job(redis: redis_py.Redis, queue: Queue, threads: str) -> None:
    job = queue.enqueue(neighbours.bind, on_success=Callback(neighbours.tell))
    other = queue.enqueue(neighbours.fail, on_failure=Callback(neighbours.tell))
    work(redis, WORKER_THREADS=threads, **NEIGHBOURS)
    assert redis.get(f"seen:{job.id}") == f"tenant-a {job.id}".encode()
    assert redis.get(f"seen:{other.id}") == f"nobody {other.id}".encode()
