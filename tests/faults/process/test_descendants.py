"""What a job has started is gone when the job was ended from outside; else it lives on, as with RQ."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.command import send_kill_horse_command, send_stop_job_command

from tests.support import offspring, processes
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from worker.retry import ISOLATIONS

#: A program, a shell and its program, one in a session of its own, an orphan, a forked process.
STARTED = 6


def service_with(server: RedisServer, threads: str = "1", **environ: str) -> Service:
    modules = "tests.support.offspring"
    return Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS=threads, WORKER_JOB_MODULES=modules, **environ)


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the test's processes are found by; they are killed at its end."""
    name = f"{request.node.name}-{id(request)}"
    yield name
    processes.kill_all(started(name))


def started(mark: str) -> list[int]:
    return processes.with_environment(offspring.MARK, mark)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("how", ["stop-job", "kill-horse", "timeout", "hard stop"])
def test_they_end_with_a_job_that_is_ended_from_outside(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, mark: str, how: str, isolation: str
) -> None:
    path = tmp_path / "journal"
    with service_with(server, WORKER_ISOLATION=isolation) as service:
        timeout = 1 if how == "timeout" else 600
        job = queue.enqueue(offspring.start_all, str(path), mark, job_timeout=timeout)
        until(lambda: len(started(mark)) == STARTED or how == "timeout", service=service)
        if how == "stop-job":
            until(lambda: runs(path), service=service)
            send_stop_job_command(redis, job.id)
        elif how == "kill-horse":
            until(lambda: runs(path), service=service)
            send_kill_horse_command(redis, redis.smembers("rq:workers").pop().decode().removeprefix("rq:worker:"))
        elif how == "hard stop":
            until(lambda: runs(path), service=service)
            service.signal(signal.SIGQUIT)
        ended = {"stop-job": "stopped", "hard stop": "queued"}.get(how, "failed")
        until(lambda: job.get_status() == ended, service=service)
        until(lambda: not started(mark), what="the end of what the job has started", service=service)
        assert not service.of("child.killed")


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("how", ["swallow", "die"])
def test_they_end_with_a_consumer_that_is_killed(
    server: RedisServer, queue: Queue, tmp_path: Path, mark: str, threads: str, how: str
) -> None:
    path = tmp_path / "journal"
    with service_with(server, threads, WORKER_MAX_CRASHES="1") as service:
        timeout = 1 if how == "swallow" else 600
        job = queue.enqueue(offspring.start_all, str(path), mark, end=how, job_timeout=timeout)
        until(lambda: job.get_status() == "failed", service=service)
        # Of a process that dies by itself nobody knows any more who was below it, outside its session.
        until(lambda: len(started(mark)) == (0 if how == "swallow" else 1), service=service)


def test_in_a_thread_those_of_the_neighbours_live_on(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, mark: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with service_with(server, "3") as service:
        neighbour = queue.enqueue(offspring.start_one, str(path), f"{mark}-neighbour", str(gate))
        until(lambda: len(runs(path)) == 1, service=service)
        job = queue.enqueue(offspring.start_all, str(path), mark)
        late = queue.enqueue(offspring.start_one, str(path), f"{mark}-late", str(gate))
        until(lambda: len(runs(path)) == 3, service=service)
        send_stop_job_command(redis, job.id)
        until(lambda: job.get_status() == "stopped", service=service)
        until(lambda: len(started(mark)) == 1, what="the end of all but the orphan, which cannot be told apart")
        gate.touch()
        until(lambda: [neighbour.get_status(), late.get_status()] == ["finished"] * 2, service=service)
        assert [neighbour.return_value(), late.return_value()] == [0, 0], "their programs ran until the end"
        assert not service.of("child.killed")


def test_in_a_thread_they_end_with_a_job_that_is_handed_back(
    server: RedisServer, queue: Queue, tmp_path: Path, mark: str
) -> None:
    path = tmp_path / "journal"
    with service_with(server, "3") as service:
        job = queue.enqueue(offspring.start_all, str(path), mark, end="swallow")
        until(lambda: len(started(mark)) == STARTED and runs(path), service=service)
        service.signal(signal.SIGQUIT)
        assert service.wait() == 0
        until(lambda: not started(mark), what="the end of what the job has started")
    assert job.get_status() == "queued"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_those_of_a_job_that_returns_live_on(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, mark: str, threads: str
) -> None:
    path = tmp_path / "journal"
    with service_with(server, threads) as service:
        before = queue.enqueue(offspring.start_all, str(path), mark, end="return")
        until(lambda: before.get_status() == "finished", service=service)
        job = queue.enqueue(offspring.start_all, str(path), f"{mark}-after")
        until(lambda: len(runs(path)) == 2, service=service)
        send_stop_job_command(redis, job.id)
        until(lambda: job.get_status() == "stopped", service=service)
        assert len(started(mark)) == STARTED
    processes.kill_all(started(f"{mark}-after"))
