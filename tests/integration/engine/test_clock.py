"""A worker whose wall clock is a day off: what it writes, and what is decided, is by the server's clock."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue, Repeat, Retry
from rq.job import Job

from tests.support import tasks
from tests.support.commands import RQ, run
from tests.support.letters import ids, record
from tests.support.server import RedisServer
from tests.support.service import ROOT

SKEWED = Path(__file__).parents[2] / "support" / "skewed"
DAY = 86_400


def skewed(seconds: int) -> dict[str, str]:
    return {"PYTHONPATH": f"{SKEWED}:{ROOT}", "SKEW_SECONDS": str(seconds)}


def work(url: str, wrong: int) -> None:
    """Let a consumer with a wrong clock empty the queue."""
    command = [RQ, "worker", "-w", "worker.consumer.Consumer", "-u", url, "--burst", "--quiet", "default"]
    environ = {"PATH": os.environ["PATH"], "WORKER_JOB_MODULES": "tests.support.tasks", **skewed(wrong)}
    subprocess.run(command, cwd=ROOT, env=environ, check=True, timeout=120, capture_output=True)


def off(redis: redis_py.Redis, moment: datetime | float | str) -> float:
    """Return how many seconds lie between a moment and the server's time."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    unix = moment.timestamp() if isinstance(moment, datetime) else moment
    return abs(unix - redis.time()[0])


@pytest.mark.parametrize("wrong", [-DAY, DAY])
def test_what_a_worker_with_a_wrong_clock_writes_is_by_the_servers(
    server: RedisServer, redis: redis_py.Redis, wrong: int
) -> None:
    queue = Queue("default", connection=redis)
    plain = queue.enqueue(tasks.boom)
    by_rq = queue.enqueue(tasks.boom, on_failure=Callback(tasks.on_failure))
    done = queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.on_success))
    parent = queue.enqueue(tasks.add, 1, 1)
    child = queue.enqueue(tasks.boom, depends_on=parent)
    later = queue.enqueue(tasks.boom, retry=Retry(max=1, interval=1000))
    later_by_rq = queue.enqueue(tasks.boom, retry=Retry(max=1, interval=1000), on_failure=Callback(tasks.on_failure))
    returned = queue.enqueue(tasks.returns_retry, 1000, retry=Retry(max=1, interval=1000))
    again = queue.enqueue(tasks.add, 1, 1, repeat=Repeat(times=1, interval=1000))
    work(server.url, wrong)
    for job in (plain, by_rq, child):
        letter = record(redis, job.id)
        assert off(redis, letter["at"]) < 300, letter
        assert off(redis, letter["first_failed_at"]) < 300
    for job in (plain, by_rq, done, parent, child, later, later_by_rq):
        fresh = Job.fetch(job.id, connection=redis)
        for moment in (fresh.started_at, fresh.ended_at, fresh.enqueued_at):
            assert moment is not None
            assert off(redis, moment) < 300, job
    assert off(redis, redis.hget(later.key, "first_failed_at").decode()) < 300
    due = dict(redis.zrange("rq:scheduled:default", 0, -1, withscores=True))
    for job in (later, later_by_rq, again):
        assert off(redis, due[job.id.encode()] - 1000) < 300, job.func_name
    assert returned.get_status(refresh=True) in ("scheduled", "queued", "failed", "finished")
    assert len(ids(redis)) >= 3


@pytest.mark.parametrize("wrong", [-DAY, DAY])
def test_letters_are_as_old_as_the_server_says(server: RedisServer, redis: redis_py.Redis, wrong: int) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom)
    work(server.url, 0)
    young = {"SKEW_SECONDS": str(wrong), "PYTHONPATH": skewed(wrong)["PYTHONPATH"]}
    for since in ("12h", (datetime.fromtimestamp(redis.time()[0]).astimezone() - timedelta(hours=1)).isoformat()):
        told = run("dead", "list", "--json", "--since", since, url=server.url, **young)
        assert (told.returncode, job.id in told.stdout) == (0, True), told.stderr
    told = run("dead", "list", "--json", "--until", "1h", url=server.url, **young)
    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    told = run("dead", "purge", "--older-than", "12h", "--yes", url=server.url, **young)
    assert (told.returncode, ids(redis)) == (0, [job.id]), told.stderr
    moment = datetime.fromtimestamp(redis.time()[0] - DAY / 2 - 60).astimezone()
    redis.hset(job.key, "ended_at", moment.isoformat())
    told = run("dead", "purge", "--older-than", "12h", "--yes", url=server.url, **young)
    assert (told.returncode, ids(redis)) == (0, []), told.stderr
