"""A consumer that is alive and does not consume is found out and replaced, with its stacks in the log."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Worker
from rq.suspension import resume, suspend

from tests.support import saboteurs, tasks
from tests.support.proxy import Proxy
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until

MODULES = "tests.support.tasks,tests.support.saboteurs,tests.support.impatient"


def health(port: int) -> dict[str, Any]:
    """What the endpoint says; no answer in time is no answer yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except OSError as error:
        raise AssertionError(f"no answer: {error}") from None


def finish(job: Any, service: Service, timeout: float = 30) -> None:
    until(lambda: job.get_status() == "finished", timeout, service=service)


def test_a_consumer_that_no_longer_hears_its_wakeups_is_replaced_and_the_waiting_job_runs(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    queue = Queue("default", connection=redis)
    port = free_port()
    environ = {"HEALTH_PORT": str(port), "HEALTH_HOST": "127.0.0.1", "WORKER_JOB_MODULES": MODULES}
    with Service(server.url, WORKER_PROCESSES="1", **environ) as service:
        until(lambda: health(port), service=service)
        finish(queue.enqueue(saboteurs.take_the_wakeups_place), service)
        (deaf,) = service.children()
        until(lambda: health(port)["last_claim_seconds"] > 0.3, service=service)
        waiting = queue.enqueue(tasks.add, 1, 2)
        until(lambda: "jobs have waited" in health(port)["reason"], service=service)
        assert service.wait_for("child.overdue", timeout=60)["reason"] == "deaf"
        finish(waiting, service)
        assert service.of("child.killed", child=deaf)
        assert any("wait_for_work" in line for line in service.output), "its stacks are in the log"
        until(lambda: health(port)["status"] == "ok", service=service)
        assert service.terminate() == 0


def test_a_consumer_that_blocks_in_a_dead_claim_is_replaced_and_the_waiting_job_runs(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    """With one queue consumers block in claims. The connection goes dead as behind a router that forgot it."""
    queue = Queue("default", connection=redis)
    environ = {"WORKER_JOB_MODULES": MODULES, "WORKER_QUEUES": "default", "WORKER_PROCESSES": "1"}
    with Proxy(server.port) as proxy, Service(proxy.url, **environ) as service:
        finish(queue.enqueue(tasks.add, 1, 2), service)
        (deaf,) = service.children()
        until(lambda: [entry for entry in redis.client_list() if "b" in entry["flags"]], service=service)
        proxy.forget()
        waiting = queue.enqueue(tasks.add, 1, 2)
        assert service.wait_for("child.overdue", timeout=60)["reason"] == "deaf"
        finish(waiting, service)
        assert service.of("child.killed", child=deaf)
        assert any("_claim_ahead" in line for line in service.output), "its stacks are in the log"
        assert service.terminate() == 0


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_consumer_whose_files_a_job_has_closed_is_replaced(
    server: RedisServer, redis: redis_py.Redis, threads: str
) -> None:
    queue = Queue("default", connection=redis)
    environ = {"WORKER_JOB_MODULES": MODULES, "WORKER_PROCESSES": "1", "WORKER_MAX_CRASHES": "1"}
    with Service(server.url, WORKER_THREADS=threads, **environ) as service:
        queue.enqueue(saboteurs.close_every_file)
        service.wait_for("child.exited", role="consumer")
        finish(queue.enqueue(tasks.add, 1, 2), service)
        assert service.terminate() == 0


@pytest.mark.slow
def test_nobody_is_replaced_for_a_queue_that_is_suspended_or_for_whose_jobs_nobody_has_time(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, WORKER_PROCESSES="1", WORKER_JOB_MODULES=MODULES) as service:
        finish(queue.enqueue(tasks.add, 1, 2), service)
        suspend(redis)
        waiting = queue.enqueue(tasks.sleep, 6)
        behind = queue.enqueue(tasks.add, 3, 4)
        redis.config_resetstat()
        begun = redis.time()[0]
        until(lambda: redis.time()[0] > begun + 6, 15)
        assert redis.info("commandstats")["cmdstat_blmove"]["calls"] < 30, "it is not asked without a pause"
        assert waiting.get_status() == "queued"
        resume(redis)
        finish(behind, service, 15)
        assert not service.of("child.overdue")
        assert len(service.of("child.spawned", role="consumer")) == 1
        assert Worker.count(connection=redis) == 1
        assert service.terminate() == 0
