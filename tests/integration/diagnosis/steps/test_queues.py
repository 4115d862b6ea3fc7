"""The state of the queues as the diagnosis tells it."""

from __future__ import annotations

import time

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.diagnosing import diagnosed
from tests.support.server import RedisServer
from tests.support.worker import consumer
from worker.diagnosis.report import Status, StepReport


def told(server: RedisServer) -> StepReport:
    return diagnosed(server.url).step("rq")


def codes(step: StepReport) -> set[str]:
    return {finding.code for finding in step.findings if finding.status is Status.WARNING}


def test_jobs_without_a_consumer_are_told(server: RedisServer, redis: redis_py.Redis) -> None:
    Queue("high", connection=redis).enqueue(tasks.add, 1, 2)
    step = told(server)
    assert step.says == "2 queues · 1 waiting · 0 workers alive · 0 failed · 0 dead letters"
    assert codes(step) == {"attention"}
    assert "1 job waits on 'high' and no consumer reads it." in step.findings[0].says
    assert step.facts["oldest_waits_seconds"] >= 0


def test_dead_letters_and_failed_jobs_are_counted(server: RedisServer, redis: redis_py.Redis) -> None:
    Queue("default", connection=redis).enqueue(tasks.boom, "x")
    consumer(redis).work(burst=True)
    step = told(server)
    assert (step.facts["failed"], step.facts["dead_letters"]) == (1, 1)


def test_what_is_stuck_is_told(server: RedisServer, redis: redis_py.Redis) -> None:
    now = time.time()
    redis.sadd("rq:queues", "rq:queue:default")
    redis.zadd("rq:wip:default", {"gone:w1": now - 100, "alive:w2": now + 100})
    redis.zadd("rq:scheduled:default", {"late": now - 200, "soon": now - 1})
    redis.hset("rq:job:kept", mapping={"status": "finished", "origin": "default"})
    redis.hset("rq:job:waiting", mapping={"status": "queued", "origin": "default"})
    step = told(server)
    assert {"stuck_started", "scheduled_overdue", "no_ttl"} <= codes(step)
    assert (step.facts["stuck_started"], step.facts["scheduled_overdue"]) == (1, 1)
    assert (step.facts["jobs_without_ttl"], step.facts["jobs_looked_at"]) == (1, 2)
