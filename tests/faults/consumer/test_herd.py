"""A push wakes every instance that waits; those that come too late stand back, or a fleet would multiply the cost."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until

INSTANCES = 4
JOBS = 80


@pytest.mark.parametrize("queues", ["default", "high,default"])
def test_single_jobs_do_not_make_a_whole_fleet_ask(server: RedisServer, redis: redis_py.Redis, queues: str) -> None:
    queue = Queue("default", connection=redis)
    with ExitStack() as stack:
        environ = {"WORKER_QUEUES": queues, "WORKER_PROCESSES": "1", "WORKER_SCHEDULER_INTERVAL": "0"}
        fleet = [stack.enter_context(Service(server.url, **environ)) for _ in range(INSTANCES)]
        until(lambda: redis.scard("rq:workers") == INSTANCES, service=fleet[0])
        until(lambda: redis.info("clients")["blocked_clients"] >= INSTANCES, service=fleet[0])
        redis.config_resetstat()
        began = time.monotonic()
        jobs = []
        for _ in range(JOBS):
            jobs.append(queue.enqueue(tasks.add, 1, 1))
            time.sleep(0.02)
        until(lambda: all(job.get_status() == "finished" for job in jobs), service=fleet[0])
        stats, seconds = redis.info("commandstats"), time.monotonic() - began
    asked = sum(int(stats[f"cmdstat_{name}"]["calls"]) for name in ("evalsha", "blmove"))
    print(f"{asked / JOBS:.1f} commands a job of {INSTANCES} instances, 3 of which each job needs, in {seconds:.1f} s")
    # On a machine so slow that jobs come seldom, those who stand back are there again for most of them: some ten times
    # a second each, with two commands.
    assert asked < max(7.5 * JOBS, 3 * JOBS + 25 * INSTANCES * seconds), (
        "without standing back it is 12 where consumers keep the watch, 9 where they are rung for"
    )
