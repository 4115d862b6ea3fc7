"""Processes that a job starts are ordinary ones, from the main thread and from threads of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue
from rq.job import Job

from tests.support import offspring
from tests.support.server import RedisServer
from tests.support.service import Service, until


@pytest.fixture(params=[("1", "process"), ("3", "process"), ("1", "job")], ids=["main thread", "threads", "forks"])
def service(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Service]:
    threads, isolation = request.param
    environ = {
        "WORKER_JOB_MODULES": "tests.support.offspring",
        "WORKER_THREADS": threads,
        "WORKER_ISOLATION": isolation,
    }
    with Service(server.url, WORKER_PROCESSES="1", **environ) as running:
        yield running


def ended(service: Service, *jobs: Job) -> None:
    until(lambda: all(job.get_status() in ("finished", "failed") for job in jobs), service=service)


def test_they_can_be_terminated_and_a_pool_can_be_left(service: Service, queue: Queue) -> None:
    killed = [queue.enqueue(offspring.terminate_child, method) for method in ("fork", "spawn", "forkserver")]
    left = queue.enqueue(offspring.leave_pool)
    mapped = [queue.enqueue(offspring.map_in_processes, method) for method in ("fork", "spawn", "forkserver")]
    ended(service, *killed, left, *mapped)
    assert [job.return_value() for job in killed] == [-15] * 3
    assert left.return_value() == "left"
    assert [job.return_value() for job in mapped] == [[1, 2, 3]] * 3
    assert not service.of("child.killed")


def test_a_program_inherits_no_signal_that_is_blocked_or_ignored(service: Service, queue: Queue) -> None:
    job = queue.enqueue(offspring.signals_of_program)
    ended(service, job)
    assert job.return_value() == {"SigBlk:": "", "SigIgn:": ""}


def test_a_forked_process_inherits_no_handlers_and_no_descriptors_of_ours(service: Service, queue: Queue) -> None:
    job = queue.enqueue(offspring.what_a_fork_inherits)
    ended(service, job)
    found = job.return_value()
    python = {"SIGINT": "<built-in function default_int_handler>", "SIGPIPE": "1", "SIGXFSZ": "1"}
    assert found == {"handlers": python, "mask": [], "wakeup": -1, "pipes": 0, "sockets": 0}


def test_a_forked_process_inherits_what_the_job_itself_has_set(server: RedisServer, queue: Queue) -> None:
    job = queue.enqueue(offspring.keep_own_handler)
    with Service(server.url, WORKER_JOB_MODULES="tests.support.offspring", WORKER_PROCESSES="1") as service:
        ended(service, job)
    assert job.return_value() == "_own_handler"


@pytest.mark.parametrize(("how", "status"), [("return", 0), ("raise", 1), ("exit", 7)])
def test_a_forked_process_that_leaves_the_jobs_function_ends(
    service: Service, queue: Queue, tmp_path: Path, how: str, status: int
) -> None:
    path = tmp_path / "journal"
    jobs = [queue.enqueue(offspring.fork_and_return, str(path), how) for _ in range(3)]
    ended(service, *jobs)
    assert [job.return_value() for job in jobs] == [f"{how} {status}"] * 3
    written = [line.split()[1] for line in path.read_text().splitlines()]
    assert sorted(written) == ["child"] * 3 + ["parent"] * 3, "each job ran once"
    assert len(service.of("job.forked_process_returned")) == 3
    assert len(service.of("job.forked_process_failed")) == (3 if how == "raise" else 0)
    assert not service.of("child.exited")


def test_a_forked_process_that_leaves_a_callback_ends(service: Service, queue: Queue, redis: redis_py.Redis) -> None:
    job = queue.enqueue(offspring.signals_of_program, on_success=Callback(offspring.callback_that_forks))
    ended(service, job)
    until(lambda: redis.get(f"forked:{job.id}") == b"0", service=service)
    assert len(service.of("job.forked_process_returned")) == 1
    assert job.get_status() == "finished"
