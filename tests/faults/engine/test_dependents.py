"""Thousands of jobs that wait for one hold up neither the consumer that ends it nor the server, and none is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.engine import aged, script_calls
from tests.support.server import RedisServer
from tests.support.service import Service, until
from worker.engine import registries

LINE = "rq:queue:low"


def family(redis: redis_py.Redis, queue: Queue, gate: Path, count: int) -> Job:
    """Enqueue a job that ends when the gate is opened, and `count` others that wait for it."""
    parent = queue.enqueue(tasks.journal_and_wait, str(gate.with_name("journal")), str(gate), job_id="parent")
    child = Queue("low", connection=redis).enqueue(tasks.add, 1, 1, depends_on=parent, job_id="child")
    fields = redis.hgetall(child.key)
    for first in range(1, count, 1000):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + 1000, count)):
                pipeline.hset(f"rq:job:child-{number}", mapping=fields)
                pipeline.sadd(f"rq:job::child-{number}:dependencies", "parent")
                pipeline.sadd("rq:job:parent:dependents", f"child-{number}")
                pipeline.zadd("rq:deferred:low", {f"child-{number}": number})
            pipeline.execute()
    return parent


def one_consumer(server: RedisServer, **environ: str) -> Service:
    return Service(server.url, WORKER_PROCESSES="1", WORKER_QUEUES="default", **environ)


def all_wait_once(redis: redis_py.Redis, count: int) -> bool:
    waiting = redis.lrange(LINE, 0, -1)
    return len(waiting) == len(set(waiting)) == count and redis.zcard("rq:deferred:low") == 0


@pytest.mark.parametrize("count", [2_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_other_jobs_go_on_meanwhile_and_a_stop_waits_for_them(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, count: int
) -> None:
    gate = tmp_path / "gate"
    family(redis, queue, gate, count)
    with one_consumer(server, WORKER_SHUTDOWN_GRACE="120") as service:
        gate.touch()
        until(lambda: redis.llen(LINE) > 0, service=service)
        other = queue.enqueue(tasks.add, 1, 1)
        until(lambda: other.get_status() == "finished", service=service)
        assert redis.zcard("rq:deferred:low") > 0, "they were enqueued in one go"
        service.signal(signal.SIGTERM)
        assert service.wait(timeout=120) == 0
        assert [line["jobs"] for line in service.of("dependents.enqueued")] == [count]
    assert all_wait_once(redis, count)


def test_those_that_a_dead_process_left_are_enqueued_by_maintenance(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    gate, count = tmp_path / "gate", 2_000
    parent = family(redis, queue, gate, count)
    with one_consumer(server) as service:
        gate.touch()
        until(lambda: redis.llen(LINE) > 0, service=service)
        service.kill_tree()
    assert 0 < redis.zcard("rq:deferred:low") < count
    aged(parent)
    steps = sum(1 for _ in registries.steps(script_calls(redis), called_for=True))
    assert steps > 10, "a step holds the server for too long"
    assert all_wait_once(redis, count)
