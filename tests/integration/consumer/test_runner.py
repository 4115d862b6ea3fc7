"""Running one job: what its code raises is its own failure, whatever the gates before a payload are called."""

from __future__ import annotations

import json
from http import HTTPStatus
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis as redis_py
from rq import Queue, Retry
from rq.results import Result

from tests.support import letters, tasks
from tests.support.worker import consumer

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
    assert letters.record(redis, job.id)["reason"] == "refused_class"
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
