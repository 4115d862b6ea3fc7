"""What a payload or a result does to the process that reads or writes it is blamed on its job; the others run."""

from __future__ import annotations

import json

import pytest
import redis as redis_py
from rq import Callback
from rq import Queue as RqQueue

from tests.support import tasks
from tests.support.hostile import KILLERS, QUEUE, good_fields
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually

GOOD = 40


def enqueue(redis: redis_py.Redis, name: str, *, pickled: bool = True) -> None:
    """Enqueue a killer in the midst of good jobs."""
    for number in range(GOOD):
        redis.hset(f"rq:job:good-{number}", mapping=good_fields(number, as_pickle=pickled))  # type: ignore[arg-type]
        redis.rpush(QUEUE, f"good-{number}")
        if number == 3:
            redis.hset("rq:job:killer", mapping={**good_fields(1, as_pickle=False), "data": KILLERS[name]})  # type: ignore[dict-item]
            redis.rpush(QUEUE, "killer")


def await_the_end(redis: redis_py.Redis, service: Service, seconds: float = 60.0) -> dict[str, str]:
    """Wait until the good jobs have finished and the other one is a dead letter; returns its record."""

    def finished() -> bool:
        return all(redis.hget(f"rq:job:good-{number}", "status") == b"finished" for number in range(GOOD))

    eventually(finished, seconds, what="all good jobs")
    eventually(lambda: redis.hexists("rq:job:killer", "dead_letter"), seconds, what="the dead letter")
    record: dict[str, str] = json.loads(redis.hget("rq:job:killer", "dead_letter"))  # type: ignore[arg-type]
    assert redis.zcard("rq:wip:default") == 0, service.tail()
    assert not service.of("child.crashed")
    return record


@pytest.mark.parametrize(
    "environ", [{}, {"WORKER_THREADS": "4"}, {"WORKER_ISOLATION": "job"}], ids=["alone", "threads", "forks"]
)
def test_a_payload_that_kills_its_reader_costs_as_many_processes_as_the_limit_says(
    own_server: RedisServer, environ: dict[str, str]
) -> None:
    with own_server.client() as redis:
        enqueue(redis, "a tuple nested as a key")
        with Service(own_server.url, WORKER_QUEUES="default", **environ) as service:
            record = await_the_end(redis, service)
            assert record["reason"] == "crashed"
            assert "while its payload was read" in record["message"]
            assert record["function"] == "tests.support.tasks.add"
            deaths = service.of("child.exited", role="consumer")
            assert 3 <= len(deaths) <= 4, "a batch of several costs one more, in which the culprit is found"
            assert not service.of("child.exited", role="dispatcher")


@pytest.mark.parametrize(
    "name",
    [
        "a thousand times its size",
        "a name of two million dots",
        "a name of the job package with two million dots",
    ],
)
def test_a_payload_that_grows_is_refused_and_costs_no_process(own_server: RedisServer, name: str) -> None:
    with own_server.client() as redis:
        enqueue(redis, name)
        with Service(own_server.url, WORKER_QUEUES="default") as service:
            record = await_the_end(redis, service)
            assert record["reason"] in ("payload_too_large", "refused_function")
            assert not service.of("child.exited")


@pytest.mark.slow
def test_a_payload_that_is_read_for_ever_is_ended_in_seconds_each_time(own_server: RedisServer) -> None:
    with own_server.client() as redis:
        enqueue(redis, "an endless power of ten")
        with Service(own_server.url, WORKER_QUEUES="default") as service:
            record = await_the_end(redis, service, 90)
            assert (record["reason"], record["function"]) == ("crashed", "tests.support.tasks.add")
            assert "while its payload was read" in record["message"]
            assert len(service.of("child.killed", reason="timeout")) == 3


@pytest.mark.parametrize(
    "environ", [{}, {"WORKER_THREADS": "4"}, {"WORKER_ISOLATION": "job"}], ids=["alone", "threads", "forks"]
)
def test_a_result_that_ends_or_blocks_its_process_when_it_is_serialized_is_its_jobs_failure(
    own_server: RedisServer, environ: dict[str, str]
) -> None:
    with own_server.client() as redis:
        queue = RqQueue("default", connection=redis)
        enqueue_good(redis, GOOD)
        dies, hangs = queue.enqueue(tasks.vicious, "die"), queue.enqueue(tasks.vicious, "hang", job_timeout=1)
        hangs_for_rq = queue.enqueue(tasks.vicious, "hang", job_timeout=1, on_success=Callback(tasks.on_success))
        with Service(own_server.url, WORKER_QUEUES="default", **environ) as service:
            bad = (dies, hangs, hangs_for_rq)
            eventually(lambda: all(redis.hexists(job.key, "dead_letter") for job in bad), 60, what="the dead letters")
            eventually(lambda: redis.zcard("rq:finished:default") == GOOD, 60, what="the good jobs")
            reasons = [json.loads(redis.hget(job.key, "dead_letter"))["reason"] for job in bad]  # type: ignore[arg-type]
            assert reasons == ["crashed", "timeout", "timeout"]
            if "WORKER_ISOLATION" in environ:
                assert len(service.of("job.crashed", job_id=dies.id)) == 3
                assert not service.of("child.exited"), "only forks died"
            else:
                deaths = service.of("child.exited", role="consumer", status=3)
                assert 3 <= len(deaths) <= 4, "a batch of several costs one more; from then on the culprit runs alone"
            assert redis.zcard("rq:wip:default") == 0, service.tail()


def enqueue_good(redis: redis_py.Redis, count: int) -> None:
    for number in range(count):
        redis.hset(f"rq:job:good-{number}", mapping=good_fields(number, as_pickle=True))  # type: ignore[arg-type]
        redis.rpush(QUEUE, f"good-{number}")
