"""Pauses (`python -m worker pause`) as whole instances see them: nothing begins, nothing is lost, nobody polls."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until
from worker.fleet import pauses, reading
from worker.keys import Keys

KEYS = Keys("rq")
FUNCTION = "tests.support.tasks.journal"
INSTANCES = 2


def fleet(
    stack: ExitStack, server: RedisServer, redis: redis_py.Redis, *ways: dict[str, str], **environ: str
) -> list[Service]:
    """Start instances, which work in several `ways`."""
    environ = {"WORKER_PROCESSES": "1", "WORKER_JOB_MODULES": "tests.support.tasks", **environ}
    instances = [stack.enter_context(Service(server.url, **{**environ, **way})) for way in ways or [{}] * INSTANCES]
    until(lambda: redis.scard("rq:workers") == INSTANCES, service=instances[0])
    return instances


def asked(redis: redis_py.Redis) -> int:
    """Return how many claims and waits were sent since the statistics were set to zero."""
    stats = redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "blmove"))


@pytest.mark.parametrize("queues", ["default", "high,default"])
def test_a_paused_queue_waits_in_silence_until_it_goes_on(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path, queues: str
) -> None:
    journal = tmp_path / "journal"
    queue = Queue("default", connection=redis)
    with ExitStack() as stack:
        instances = fleet(stack, server, redis, WORKER_QUEUES=queues, WORKER_SCHEDULER_INTERVAL="0")
        pauses.pause(redis, KEYS, queue="default", seconds=None, who="ann", reason="the shop is closed")
        jobs = [queue.enqueue(tasks.journal, str(journal), "begin") for number in range(20)]
        until(lambda: redis.info("clients")["blocked_clients"] >= INSTANCES, service=instances[0])
        if "high" in queues:
            other = Queue("high", connection=redis).enqueue(tasks.add, 1, 1)
            until(lambda: other.get_status() == "finished", service=instances[0])
        time.sleep(1)  # whoever has been woken has asked by now
        redis.config_resetstat()
        time.sleep(2)
        assert asked(redis) <= 4 * INSTANCES, "a paused queue that is not empty must not keep anybody awake"
        assert queue.job_ids == [job.id for job in jobs]
        assert not journal.exists()

        said = pauses.resume(redis, KEYS, queue="default", who="ann")
        assert said == "The queue 'default' goes on."
        until(lambda: all(job.get_status(refresh=True) == "finished" for job in jobs), service=instances[0])
        assert sorted(tasks.runs(journal).values()) == [1] * 20

        names = {bytes(key).decode().removeprefix("rq:worker:") for key in redis.smembers("rq:workers")}
        quiet, other = (name.rpartition(".")[0] for name in sorted(names))
        pauses.pause(redis, KEYS, function=f"@{quiet}", seconds=None, who="ann")
        more = [queue.enqueue(tasks.add, 1, 1) for _ in range(20)]
        until(lambda: all(job.get_status(refresh=True) == "finished" for job in more), service=instances[0])
        ran_on = {bytes(redis.hget(KEYS.job(job.id), "worker_name") or b"").decode() for job in more}
        assert {name.rpartition(".")[0] for name in ran_on} == {other}
        pauses.resume(redis, KEYS, function=f"@{quiet}", who="ann")

        pauses.pause(redis, KEYS, seconds=2, who="ann")
        late = queue.enqueue(tasks.journal, str(journal), "begin")
        until(lambda: late.get_status(refresh=True) == "finished", service=instances[0])
        assert not redis.exists("rq:paused")


def test_jobs_of_a_paused_function_stand_aside_in_order_whoever_is_killed(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    queue = Queue("default", connection=redis)
    with ExitStack() as stack:
        ways = ({"WORKER_ISOLATION": "job"}, {"WORKER_THREADS": "4"})
        instances = fleet(stack, server, redis, *ways, WORKER_QUEUES="default")
        pauses.pause(redis, KEYS, function=FUNCTION, seconds=None, who="ann", reason="it sends mail twice")
        held, others = [], []
        for number in range(300):
            held.append(queue.enqueue(tasks.journal, str(journal), "begin").id)
            others.append(queue.enqueue(tasks.add, number, 1))
            if number == 150:
                until(lambda: redis.llen(KEYS.parked_queue(FUNCTION, "default")) > 20, service=instances[1])
                instances[0].kill_tree()
        aside = Queue(f"paused:default:{FUNCTION}", connection=redis)
        until(lambda: all(job.get_status(refresh=True) == "finished" for job in others), service=instances[1])
        until(lambda: aside.count == 300, service=instances[1])
        assert not journal.exists()
        before = [job_id for job_id in aside.job_ids if int(redis.hget(KEYS.job(job_id), "handbacks") or 0) == 0]
        assert set(aside.job_ids) == set(held)
        assert f"{aside.key}".encode() in redis.smembers("rq:queues"), "`rq info` shows it"
        in_order = [job_id for job_id in held if job_id in before]
        swapped = sum(1 for one, other in zip(before, in_order, strict=True) if one != other)
        assert swapped <= 64, "only what the killed instance held may stand elsewhere"

        seen = reading.read(redis, KEYS, ["default"], "dead-letter")
        (state,) = seen.queues
        assert (state.name, state.waiting, state.paused) == ("default", 0, False)
        (sentence,) = seen.attention()
        assert f"The function {FUNCTION} is paused for" in sentence
        assert "by ann: it sends mail twice, 300 jobs of it put aside. It has no end" in sentence

        Job.fetch(held[0], connection=redis).cancel()
        Job.fetch(held[1], connection=redis).delete()
        pauses.pause(redis, KEYS, function=FUNCTION, seconds=1, who="ann")  # it ends by itself
        until(lambda: redis.llen(aside.key) == 0 and len(tasks.runs(journal)) == 298, service=instances[1])
        assert set(tasks.runs(journal).values()) == {1}
        until(lambda: not redis.exists("rq:paused", "rq:parked"), service=instances[1])
        assert aside.key.encode() not in redis.smembers("rq:queues")
