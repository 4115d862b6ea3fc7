"""A job that holds Python's lock for longer than a claim lives keeps its claim, as long as its process lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import lone, processes, tasks
from tests.support.engine import rescuer
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.tasks import runs
from tests.support.waiting import eventually

RECORD = f"rq:worker:{lone.NAME}"


@pytest.fixture
def worker(server: RedisServer) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.support.lone", server.url]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=processes.belong_to_the_tests)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def held(worker: subprocess.Popen[bytes], queue: Queue, tmp_path: Path, pipe: Path) -> Job:
    job = queue.enqueue(tasks.hold_interpreter, str(tmp_path / "journal"), str(pipe), job_timeout=600)
    eventually(lambda: runs(tmp_path / "journal") == {job.id: 1})
    return job


def let_go(pipe: Path) -> bool:
    """Open the named pipe; False while the job does not wait for that."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_it_keeps_its_claim(redis: redis_py.Redis, held: Job, tmp_path: Path, pipe: Path) -> None:
    beats: set[bytes | None] = set()

    def outlived() -> bool:
        assert rescuer(redis, "default").rescue_orphans() == 0
        beats.add(redis.hget(RECORD, "last_heartbeat"))
        assert None not in beats
        return len(beats) > lone.BUSY_TTL_SECONDS + 1  # they are more than a second apart

    eventually(outlived)
    assert held.get_status() == "started"
    eventually(lambda: let_go(pipe))
    eventually(lambda: held.get_status() == "finished")
    assert runs(tmp_path / "journal") == {held.id: 1}


def test_the_claim_of_a_dead_process_is_not_kept(
    redis: redis_py.Redis, held: Job, worker: subprocess.Popen[bytes]
) -> None:
    helpers = processes.children(worker.pid)
    assert len(helpers) == 1
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: not processes.is_alive(helpers[0]))
    eventually(lambda: rescuer(redis, "default").rescue_orphans() == 1)
    assert redis.hget(held.key, "crashes") == b"1"


def test_the_helper_ends_with_a_stop_and_not_before(worker: subprocess.Popen[bytes], held: Job, pipe: Path) -> None:
    (helper,) = processes.children(worker.pid)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(helper, number)  # as a platform does that signals every process
    worker.terminate()
    assert os.getpgid(helper) == helper != os.getpgid(worker.pid)
    assert {os.readlink(f"/proc/{helper}/fd/{number}") for number in (0, 1, 2)} == {os.devnull}
    eventually(lambda: let_go(pipe))
    assert worker.wait(timeout=60) == 0
    eventually(lambda: not processes.is_alive(helper))
    assert held.get_status() == "finished"


@pytest.mark.slow
def test_the_claim_of_a_stopped_process_is_not_kept(
    redis: redis_py.Redis, held: Job, worker: subprocess.Popen[bytes]
) -> None:
    os.kill(worker.pid, signal.SIGSTOP)
    eventually(lambda: rescuer(redis, "default").rescue_orphans() == 1)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_the_claim_of_a_job_that_should_have_ended_is_not_kept(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    queue.enqueue(tasks.stuck_in_native_code, str(tmp_path / "journal"), job_timeout=1)
    eventually(lambda: rescuer(redis, "default").rescue_orphans() == 1)
