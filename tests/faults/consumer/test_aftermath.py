"""A job that takes the ground from under its consumer: its outcome is kept, and the consumer is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue

from tests.support import vandals
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from worker.exits import Exit

MODULES = {"WORKER_JOB_MODULES": "tests.support.vandals", "WORKER_PROCESSES": "1"}


@pytest.mark.parametrize("queues", ["default", "high,default"])
@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("end", [256, 65536])
def test_closed_descriptors_cost_the_consumer_and_not_the_jobs(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str, end: int, queues: str
) -> None:
    path = str(tmp_path / "journal")
    with Service(server.url, WORKER_THREADS=threads, WORKER_QUEUES=queues, **MODULES) as service:
        first = queue.enqueue(vandals.note, path)
        until(lambda: first.get_status() == "finished", service=service)
        job = queue.enqueue(vandals.close_descriptors, path, end)
        until(lambda: job.get_status() == "finished", service=service)
        service.wait_for("consumer.replaced")
        later = [queue.enqueue(vandals.note, path) for _ in range(5)]
        until(lambda: all(one.get_status() == "finished" for one in later), service=service)
        # In a pool another thread may be talking to Redis at that moment, and fail before the consumer can retire.
        assert service.wait_for("child.exited")["status"] in ((Exit.OK,) if threads == "1" else (Exit.OK, Exit.CRASHED))
        assert service.terminate() == 0
    assert runs(Path(path)) == {one.id: 1 for one in (first, job, *later)}
    assert redis.hmget(job.key, "crashes", "attempts") == [None, None]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_more_than_1024_descriptors_are_no_error(
    server: RedisServer, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path = str(tmp_path / "journal")
    with Service(server.url, WORKER_THREADS=threads, **MODULES) as service:
        job = queue.enqueue(vandals.open_descriptors, path, 1500)
        until(lambda: job.get_status() == "finished", service=service)
        later = [queue.enqueue(vandals.note, path) for _ in range(5)]
        until(lambda: all(one.get_status() == "finished" for one in later), service=service)
        assert not service.of("child.exited")
        assert not service.of("redis.outage_started")
        assert service.terminate() == 0


@pytest.mark.parametrize("what", ["ignore", "raise", "block"])
def test_a_job_that_makes_itself_deaf_does_not_make_the_service_deaf(
    server: RedisServer, queue: Queue, tmp_path: Path, what: str
) -> None:
    path, gate = str(tmp_path / "journal"), tmp_path / "gate"
    with Service(server.url, WORKER_SHUTDOWN_GRACE="30", **MODULES) as service:
        deaf = queue.enqueue(vandals.be_deaf, what)
        running = queue.enqueue(vandals.note, path, str(gate))
        left = queue.enqueue(vandals.note, path)
        until(lambda: runs(Path(path)), service=service)
        assert deaf.get_status() == "finished"
        (consumer,) = service.children()
        vandals.ask_to_stop(consumer)
        gate.touch()
        until(lambda: not service.children() or consumer not in service.children(), service=service)
        assert running.get_status() == "finished"
        until(lambda: left.get_status() == "finished", what="the successor", service=service)


def test_what_a_callback_changes_is_put_back_too(server: RedisServer, queue: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with Service(server.url, **MODULES) as service:
        job = queue.enqueue(vandals.note, path, on_success=Callback(vandals.move))
        until(lambda: job.get_status() == "finished", service=service)
        after = queue.enqueue(vandals.where)
        until(lambda: after.get_status() == "finished", service=service)
    assert after.return_value() != "/"


def test_a_late_alarm_of_a_job_kills_nobody(server: RedisServer, queue: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with Service(server.url, WORKER_THREADS="3", **MODULES) as service:
        finished = queue.enqueue(vandals.note, path, on_success=Callback(vandals.look_on))
        until(lambda: finished.get_status() == "finished", service=service)
        job = queue.enqueue(vandals.set_alarm, path)
        until(lambda: job.get_status() == "finished", service=service)
        assert job.return_value() is True, "it rang while the job ran"
        after = queue.enqueue(vandals.note, path)
        until(lambda: after.get_status() == "finished", service=service)
        assert not service.of("child.exited")
