"""Jobs that are coroutines: one loop a thread for all of them, of which nothing is left but the loop."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import neighbours
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import SLACK_SECONDS
from tests.support.worker import work
from worker.consumer.event_loop import EventLoops

NEIGHBOURS = {"WORKER_JOB_MODULES": "tests.support.neighbours"}


@pytest.fixture(autouse=True)
def _nothing_is_left_from_other_tests() -> None:
    neighbours.forget()


def test_what_a_module_keeps_of_a_loop_works_in_the_next_job(redis: redis_py.Redis, queue: Queue) -> None:
    jobs = [queue.enqueue(neighbours.use_client) for _ in range(3)]
    work(redis, **NEIGHBOURS)
    assert [job.get_status() for job in jobs] == ["finished"] * 3
    assert len({job.return_value() for job in jobs}) == 1


def test_a_job_that_is_no_coroutine_finds_no_loop_of_the_one_before(server: RedisServer, queue: Queue) -> None:
    """In a service, because what runs the tests may have set a loop."""
    coroutine = queue.enqueue(neighbours.use_generators)
    plain = queue.enqueue(neighbours.current_loop)
    with Service(server.url, WORKER_PROCESSES="1", **NEIGHBOURS) as service:
        until(lambda: plain.get_status() in ("finished", "failed"), service=service)
    assert coroutine.return_value() == [1, 2]
    assert plain.return_value() == "ran"


def test_left_over_tasks_and_generators_end_with_their_job(
    redis: redis_py.Redis, queue: Queue, capfd: pytest.CaptureFixture[str]
) -> None:
    job = queue.enqueue(neighbours.leave_tasks)
    after = queue.enqueue(neighbours.what_was_left)
    again = queue.enqueue(neighbours.use_generators)
    work(redis, LOG_FORMAT="json", **NEIGHBOURS)
    assert job.return_value() == "returned"
    assert after.return_value() == ["first 1", "generator closed", "task cancelled"]
    assert again.return_value() == [1, 2]
    out = capfd.readouterr().out
    assert "job.task_failed" in out
    assert "the task failed at its end" in out


def test_a_coroutine_that_sleeps_past_its_timeout_fails_and_the_next_one_runs(
    redis: redis_py.Redis, queue: Queue
) -> None:
    late = queue.enqueue(neighbours.sleep_async, 60, job_timeout=1)
    next_one = queue.enqueue(neighbours.use_client)
    began = time.monotonic()
    work(redis, **NEIGHBOURS)
    assert time.monotonic() - began < 2 + SLACK_SECONDS
    assert (late.get_status(), next_one.get_status()) == ("failed", "finished")


def test_in_a_thread_a_coroutine_that_sleeps_past_its_timeout_fails_alone(server: RedisServer, queue: Queue) -> None:
    late = queue.enqueue(neighbours.sleep_async, 600, job_timeout=1)
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS="2", **NEIGHBOURS) as service:
        until(lambda: late.get_status() == "failed", service=service)
        after = queue.enqueue(neighbours.use_client)
        until(lambda: after.get_status() == "finished", service=service)
        assert not service.of("child.killed")
        assert not service.of("child.overdue")


def test_a_forked_process_gets_a_loop_of_its_own_and_leaves_its_parents_alone(tmp_path: Path) -> None:
    loops = EventLoops()
    ours = loops.run(neighbours.use_client())
    found = tmp_path / "found"
    if (pid := os.fork()) == 0:
        try:
            neighbours.forget()
            found.write_text(str(loops.run(neighbours.use_client()) != ours))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert found.read_text() == "True"
    assert loops.run(neighbours.use_client()) == ours
    loops.close()
