"""Jobs in forks under blows: to the fork, to its consumer, to the service, to Redis."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue
from rq.job import Job

from tests.support import forks, processes, tasks
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs


def forking(server: RedisServer, **environ: str) -> Service:
    modules = "tests.support.forks,tests.support.tasks"
    given = {"WORKER_PROCESSES": "1", "WORKER_ISOLATION": "job", "WORKER_JOB_MODULES": modules, **environ}
    return Service(server.url, **given)


@pytest.fixture
def service(server: RedisServer) -> Iterator[Service]:
    with forking(server) as running:
        yield running


def forks_of(service: Service) -> list[int]:
    return [fork for consumer in service.children() for fork in processes.children(consumer)]


def all_are(status: str, *jobs: Job) -> bool:
    return all(job.get_status() == status for job in jobs)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_forks_that_die_at_random_cost_their_own_jobs_only(
    server: RedisServer, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    jobs = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(12)]
    with forking(server, WORKER_PROCESSES="2", WORKER_THREADS=threads, WORKER_MAX_CRASHES="100") as service:
        for number in [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM] * 3:
            doomed = random.choice(until(lambda: forks_of(service), service=service))
            with contextlib.suppress(ProcessLookupError):
                os.kill(doomed, number)
        until(lambda: service.of("job.crashed"), service=service)
        gate.touch()
        until(lambda: all_are("finished", *jobs), service=service)
        assert not service.of("child.exited"), "no consumer dies with a fork"
        assert service.terminate() == 0
    assert queue.started_job_registry.count == 0


def test_a_fork_dies_with_its_consumer_and_takes_what_it_has_started_along(
    service: Service, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.start_program, str(path), "wait")
    until(lambda: path.exists() and "program-" in path.read_text(), service=service)
    program, (fork,) = forks.program_of(path), forks_of(service)
    os.kill(service.children()[0], signal.SIGKILL)
    until(lambda: not processes.is_alive(fork) and not processes.is_alive(program), service=service)
    until(lambda: path.read_text().count("program-") == 2, what="its next attempt", service=service)
    assert job.get_status() == "started"


def test_a_soft_stop_lets_a_fork_end(service: Service, queue: Queue, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: runs(path), service=service)
    service.signal(signal.SIGTERM)
    service.wait_for("service.stopping")
    gate.touch()
    assert service.wait() == 0
    assert job.get_status() == "finished"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_hard_stop_interrupts_a_fork_and_hands_its_job_back(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path, saved = tmp_path / "journal", tmp_path / "saved"
    with forking(server, WORKER_THREADS=threads, WORKER_SHUTDOWN_GRACE="0.2") as service:
        job = queue.enqueue(tasks.checkpoint, str(saved), str(path))
        until(lambda: runs(path), service=service)
        assert service.terminate() == 0
    assert saved.read_text() == "saved"
    assert job.get_status() == "queued"
    assert redis.hmget(job.key, "handbacks", "attempts", "crashes") == [b"1", None, None]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_fork_that_ignores_the_hard_stop_is_killed_and_its_job_handed_back(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path = tmp_path / "journal"
    with forking(server, WORKER_THREADS=threads, WORKER_SHUTDOWN_GRACE="0.2") as service:
        job = queue.enqueue(tasks.stuck_in_native_code, str(path))
        until(lambda: runs(path), service=service)
        assert service.terminate() == 0
        assert not service.of("child.killed"), "its consumer has ended it in time"
    assert job.get_status() == "queued"
    assert redis.hmget(job.key, "handbacks", "attempts", "crashes") == [b"1", None, None]


def test_the_scoreboard_shows_what_runs_in_a_fork(service: Service, queue: Queue, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: runs(path), service=service)
    service.signal(signal.SIGUSR1)
    shown = service.wait_for("child.state", job_id=job.id)
    assert shown["state"] == "busy"
    assert shown["job_seconds"] >= 0
    gate.touch()
    until(lambda: all_are("finished", job), service=service)


def test_the_neighbours_of_a_long_fork_go_back_at_once(server: RedisServer, queue: Queue, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    short = [queue.enqueue(tasks.add, 1, 2) for _ in range(30)]
    long = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    after = [queue.enqueue(tasks.add, 3, 4) for _ in range(30)]
    with forking(server, WORKER_PROCESSES="2") as service:
        until(lambda: all_are("finished", *short, *after), what="the other consumer runs them", service=service)
        assert long.get_status() == "started"
        gate.touch()
        until(lambda: all_are("finished", long), service=service)


def test_an_outage_while_a_callback_is_due_costs_no_job(own_server: RedisServer, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with own_server.client() as redis, forking(own_server) as service:
        queue = Queue("default", connection=redis)
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate), on_success=Callback(forks.note_pid))
        until(lambda: runs(path), service=service)
        own_server.kill()
        gate.touch()
        until(lambda: "end" in path.read_text(), service=service)
        own_server.start()
        until(lambda: all_are("finished", job), service=service)
        assert runs(path)[job.id] == 1
        assert redis.get(f"callback:{job.id}") is not None


def test_a_job_that_writes_into_whatever_pipe_it_finds_fails_alone(server: RedisServer, queue: Queue) -> None:
    job, after = queue.enqueue(forks.write_into_every_pipe), queue.enqueue(tasks.add, 1, 2)
    with forking(server, WORKER_MAX_CRASHES="1") as service:
        until(lambda: all_are("failed", job) and all_are("finished", after), service=service)
        assert "something odd" in record(job.connection, job.id)["message"]
        assert not service.of("child.exited")


@pytest.mark.slow
def test_a_fork_that_outlives_its_timeout_dies_alone(service: Service, queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(tasks.stuck_in_native_code, str(tmp_path / "journal"), job_timeout=1)
    until(lambda: all_are("failed", job), service=service)
    assert record(job.connection, job.id)["reason"] == "timeout"
    assert not service.of("child.killed"), "the supervisor need not kill its consumer"
