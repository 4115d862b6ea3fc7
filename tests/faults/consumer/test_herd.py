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
#: Of the instance that gets the job: to be woken, to claim, to settle.
COMMANDS_OF_A_JOB = 3
#: About ten by the rule of ``waiting.py`` once an instance stands back longest; until then it comes more often.
IN_VAIN_A_SECOND = 20


@pytest.mark.parametrize(
    ("queues", "in_vain"), [("default", 3), ("high,default", 2)], ids=["they watch", "they are rung for"]
)
def test_single_jobs_do_not_make_a_whole_fleet_ask(
    server: RedisServer, redis: redis_py.Redis, queues: str, in_vain: int
) -> None:
    """`in_vain` is the commands of an instance that comes too late."""
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
    each = f"{asked / JOBS:.1f} commands a job of {INSTANCES} instances in {seconds:.1f} s"
    all_come = COMMANDS_OF_A_JOB + in_vain * (INSTANCES - 1)
    print(f"{each}; {all_come} would be without standing back, {COMMANDS_OF_A_JOB} with one instance")
    # The slower the machine, the seldomer a job comes, and the more of those who stand back are there again for it.
    late = min(JOBS, IN_VAIN_A_SECOND * seconds)
    assert asked < COMMANDS_OF_A_JOB * JOBS + in_vain * (INSTANCES - 1) * late, each
