"""Signed callbacks: whoever gave a URL with a job is told once it has ended, however it ended."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Dependency, Job
from rq.registry import DeferredJobRegistry

from jobs.delivery import deliver
from producer import InvalidJob, Producer
from tests.support import snapshots
from tests.support.producers import over_rest
from tests.support.rest_stub import RestStub
from tests.support.shop import Shop, status
from tests.support.worker import work
from worker.context import OfflineContext, use

SECRET = "correct horse"
WORKER = {
    "WORKER_JOB_MODULES": "tests.support.tasks,jobs",
    "WORKER_ALLOW_PRIVATE_ADDRESSES": "true",
    "NOTIFY_SECRET": SECRET,
}


@pytest.fixture
def producer(stub: RestStub) -> Iterator[Producer]:
    with over_rest(stub) as producer:
        yield producer


@pytest.fixture
def receiver(shop: Shop) -> Shop:
    shop.routes["/done"] = status(204)
    return shop


def bodies(receiver: Shop) -> list[dict[str, Any]]:
    """What arrived, each signature verified."""
    found = []
    for request in receiver.requests:
        fields = dict(part.split("=", 1) for part in request.headers["webhook-signature"].split(","))
        expected = hmac.new(SECRET.encode(), fields["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(expected, fields["v1"])
        found.append(json.loads(request.body))
    return found


def test_the_end_of_a_job_is_told_with_its_result(producer: Producer, redis: redis_py.Redis, receiver: Shop) -> None:
    job = producer.enqueue("tests.support.tasks.add", 40, 2, callback_url=receiver.url("/done"))
    assert len(DeferredJobRegistry("default", connection=redis).get_job_ids()) == 1
    work(redis, **WORKER)
    assert bodies(receiver) == [{"job_id": job.id, "status": "finished", "result": 42, "error": None}]
    assert DeferredJobRegistry("default", connection=redis).get_job_ids() == []


def test_a_job_that_failed_for_good_is_told_with_its_reason(
    producer: Producer, redis: redis_py.Redis, receiver: Shop
) -> None:
    job = producer.enqueue("tests.support.tasks.give_up", callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    (body,) = bodies(receiver)
    assert (body["job_id"], body["status"], body["error"]["reason"]) == (job.id, "failed", "permanent")
    assert body["error"]["message"].endswith("there is no such product")


def test_a_job_that_may_not_run_is_told_too(producer: Producer, redis: redis_py.Redis, receiver: Shop) -> None:
    producer.enqueue("os.getcwd", callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    assert [body["error"]["reason"] for body in bodies(receiver)] == ["refused_function"]


def test_a_receiver_that_is_never_there_makes_a_dead_letter(
    producer: Producer, redis: redis_py.Redis, receiver: Shop
) -> None:
    receiver.routes["/done"] = status(410)
    producer.enqueue("tests.support.tasks.add", 1, 1, callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    (letter,) = redis.lrange("rq:queue:dead-letter", 0, -1)
    assert letter.startswith(b"notify-")
    assert producer.status(letter.decode()).reason == "permanent"


def test_who_asks_for_a_job_that_has_ended_is_told_as_well(
    producer: Producer, redis: redis_py.Redis, receiver: Shop
) -> None:
    producer.enqueue("tests.support.tasks.add", 1, 1, job_id="one", callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    producer.enqueue("tests.support.tasks.add", 1, 1, job_id="one", callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    assert [body["result"] for body in bodies(receiver)] == [2, 2]
    keys = {request.headers["idempotency-key"] for request in receiver.requests}
    assert len(keys) == 2


def test_a_callback_that_runs_twice_notifies_once(producer: Producer, redis: redis_py.Redis, receiver: Shop) -> None:
    producer.enqueue("tests.support.tasks.add", 1, 1, callback_url=receiver.url("/done"))
    work(redis, **WORKER)
    (callback,) = redis.keys("rq:job:callback-*")
    redis.hset(callback, "status", "queued")
    redis.rpush("rq:queue:default", callback.decode().removeprefix("rq:job:"))
    work(redis, **WORKER)
    assert len(bodies(receiver)) == 1


def test_a_canceled_job_cancels_its_callback(producer: Producer, redis: redis_py.Redis, receiver: Shop) -> None:
    job = producer.enqueue("tests.support.tasks.add", 1, 1, callback_url=receiver.url("/done"))
    assert producer.cancel(job.id) == "canceled"
    work(redis, **WORKER)
    assert receiver.requests == []
    assert DeferredJobRegistry("default", connection=redis).get_job_ids() == []


def test_a_callback_waits_key_by_key_as_rqs_own_dependents_do(producer: Producer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis, serializer="json")
    parent = queue.enqueue("tests.support.tasks.add", 1, 1, job_id="parent")
    queue.enqueue(
        "jobs.delivery.deliver",
        "https://me.example/done",
        "parent",
        job_id="child",
        job_timeout=60,
        description="callback of parent",
        depends_on=Dependency([parent], allow_failure=True),
    )
    by_rq = snapshots.take(redis)
    redis.flushall()
    producer.enqueue("tests.support.tasks.add", 1, 1, job_id="parent", callback_url="https://me.example/done")
    (callback,) = DeferredJobRegistry("default", connection=redis).get_job_ids()
    ours = {
        tuple(part.replace("callback-<execution>", "child") for part in at): value
        for at, value in snapshots.take(redis).items()
    }
    different = {at for at in snapshots.differences(by_rq, ours) if at[1] != "data"}  # type: ignore[arg-type]
    assert not different
    child = Job.fetch(callback, connection=redis, serializer="json")
    assert (child.func_name, child.args) == ("jobs.delivery.deliver", ["https://me.example/done", "parent"])


@pytest.mark.parametrize(
    "url", ["me.example/done", "ftp://me.example", "https://me.example/a b", "https://ä.example", 7]
)
def test_a_callback_needs_a_url(producer: Producer, redis: redis_py.Redis, url: Any) -> None:
    with pytest.raises(InvalidJob, match="callback_url must be"):
        producer.enqueue("tests.support.tasks.add", 1, 1, callback_url=url)
    assert redis.keys() == []


def test_outside_a_worker_there_is_nothing_to_enqueue_on() -> None:
    with use(OfflineContext()), pytest.raises(RuntimeError, match="run this as a job"):
        deliver("https://me.example/done", "one")
