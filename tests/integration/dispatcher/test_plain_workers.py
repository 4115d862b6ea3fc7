"""Jobs of plain RQ workers that died, in a fleet where no plain worker is left to look after them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue, Retry
from rq.job import Job

from tests.support import processes, tasks
from tests.support.engine import rescuer
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.waiting import eventually
from tests.support.worker import consumer

WIP = "rq:wip:default"


@pytest.fixture
def plain(server: RedisServer) -> Iterator[subprocess.Popen[bytes]]:
    """A plain RQ worker, in a session of its own."""
    command = [Path(sys.executable).parent / "rq", "worker", "default", "-u", server.url, "--quiet"]
    worker = subprocess.Popen(command, cwd=ROOT, start_new_session=True, preexec_fn=processes.belong_to_the_tests)
    yield worker
    kill(worker)


def kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill it and its work horse."""
    for pid in [worker.pid, *processes.descendants(worker.pid)]:
        if processes.is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    worker.wait()


def rescue(redis: redis_py.Redis) -> int:
    return rescuer(redis, "default").rescue_orphans()


def left_behind(redis: redis_py.Redis, plain: subprocess.Popen[bytes], journal: Path, retry: Retry | None) -> Job:
    """A job whose plain worker was killed under it."""
    gate = journal.with_name("gate")  # shut until the worker is dead
    job = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(journal), str(gate), retry=retry)
    eventually(lambda: tasks.runs(journal)[job.id] == 1, what="the plain worker's job")
    kill(plain)
    gate.touch()
    return job


def end_lease(redis: redis_py.Redis) -> None:
    (member,) = redis.zrange(WIP, 0, -1)
    redis.zadd(WIP, {member: redis.time()[0] - 1})


def test_it_is_left_alone_while_its_lease_lasts_and_is_a_dead_letter_then(
    redis: redis_py.Redis, plain: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    job = left_behind(redis, plain, tmp_path / "journal", None)
    assert rescue(redis) == 0
    assert job.get_status() == "started"
    end_lease(redis)
    assert rescue(redis) == 1
    assert job.get_status() == "failed"
    letter = json.loads(redis.hget(job.key, "dead_letter"))
    assert letter["reason"] == "abandoned"
    assert "its lease is over" in job.latest_result().exc_string
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]
    assert redis.zcard(WIP) == 0
    assert redis.keys("rq:execution:*") == redis.keys("rq:worker:abandoned*") == []
    assert rescue(redis) == 0


def test_it_takes_one_of_its_retries(redis: redis_py.Redis, plain: subprocess.Popen[bytes], tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    job = left_behind(redis, plain, journal, Retry(max=1))
    end_lease(redis)
    assert rescue(redis) == 1
    assert (job.get_status(), redis.hget(job.key, "retries_left")) == ("queued", b"0")
    consumer(redis).work(burst=True)
    assert job.get_status() == "finished"
    assert tasks.runs(journal)[job.id] == 2


def test_an_entry_that_is_left_over_from_a_job_that_has_ended_is_dropped(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
    consumer(redis).work(burst=True)
    redis.zadd(WIP, {f"{job.id}:0a1b": 1, "gone:0a1b": 1, "without-execution": 1, "without-timeout:0a1b": "+inf"})
    assert rescue(redis) == 0
    assert redis.zrange(WIP, 0, -1) == [b"without-execution", b"without-timeout:0a1b"]
    assert job.get_status() == "finished"
