"""Callbacks are code of their job: a slow one holds up what its own thread runs next, and nobody else.

Where a consumer has no pool, it runs in a thread of its own.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue
from rq.command import send_stop_job_command
from rq.job import Job

from tests.support import tasks
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs


def service_of(server: RedisServer, **environ: str) -> Service:
    return Service(server.url, **{"WORKER_PROCESSES": "1", "WORKER_QUEUES": "default", **environ})


def slow(queue: Queue, path: Path, gate: Path, count: int, **options: Any) -> list[Job]:
    """Enqueue jobs whose callbacks, of success and of failure by turns, end when the gate is opened."""
    callback = Callback(tasks.callback_behind_a_gate)
    return [
        queue.enqueue(
            tasks.journal_and_return,
            str(path),
            str(gate),
            "no" if number % 2 else "",
            on_success=callback,
            on_failure=callback,
            **options,
        )
        for number in range(count)
    ]


def called(path: Path) -> Counter[str]:
    """Return how often each job's callback has begun."""
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split()[0] for line in lines if line.split()[1] == "callback")


def statuses(jobs: list[Job]) -> Counter[str]:
    return Counter(job.get_status().value for job in jobs)


@pytest.mark.parametrize(
    "environ", [{"WORKER_THREADS": "16"}, {"WORKER_THREADS": "1"}], ids=["pool", "one job at a time"]
)
def test_slow_ones_hold_up_nobody(server: RedisServer, queue: Queue, tmp_path: Path, environ: dict[str, str]) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    patient = slow(queue, path, gate, 4)
    others = [queue.enqueue(tasks.add, 1, 1) for _ in range(40)]
    with service_of(server, WORKER_SHUTDOWN_GRACE="60", **environ) as service:
        until(lambda: statuses(others) == {"finished": 40}, service=service)
        until(lambda: called(path) == {job.id: 1 for job in patient}, service=service)
        assert statuses(patient) == {"started": len(patient)}
        service.signal(signal.SIGTERM)
        until(lambda: drains(service), service=service)
        gate.touch()
        assert service.wait() == 0
    assert statuses(patient) == {"finished": len(patient) / 2, "failed": len(patient) / 2}
    assert called(path) == runs(path) == {job.id: 1 for job in patient}


def drains(service: Service) -> bool:
    """Whether the consumer has heard of the stop."""
    service.signal(signal.SIGUSR1)
    return bool(service.of("child.state", state="draining"))


@pytest.mark.parametrize(("threads", "count"), [("1", 1), ("1", 3), ("4", 3)])
def test_a_process_that_dies_amid_them_loses_no_job(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path, threads: str, count: int
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    jobs = slow(queue, path, gate, count)
    with service_of(server, WORKER_THREADS=threads) as service:
        until(lambda: called(path) == {job.id: 1 for job in jobs}, service=service)
        os.kill(service.children()[0], signal.SIGKILL)
        until(lambda: max(called(path).values()) == 2, service=service)
        gate.touch()
        until(lambda: not statuses(jobs).keys() & {"queued", "started"}, service=service)
    assert statuses(jobs) == Counter({"finished": (len(jobs) + 1) // 2, "failed": len(jobs) // 2})
    assert runs(path) == {job.id: 2 for job in jobs}
    blamed = [redis.hget(job.key, "crashes") for job in jobs]
    assert blamed == ([b"1"] if count == 1 else [None] * 3), "of several none is blamed before it has run alone"


def test_who_stops_a_job_in_its_callback_stops_no_other(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    (patient,) = slow(queue, path, gate, 1)
    with service_of(server) as service:
        until(lambda: called(path), service=service)
        beside = queue.enqueue(tasks.nap_in_steps, 3)
        until(lambda: beside.get_status() == "started", service=service)
        send_stop_job_command(redis, patient.id)
        until(lambda: statuses([patient, beside]) == {"stopped": 1, "finished": 1}, service=service)
    assert redis.hget(beside.key, "crashes") is None
    assert redis.llen("rq:queue:dead-letter") == 0


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_hard_stop_hands_their_jobs_back(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path, threads: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    jobs = slow(queue, path, gate, 2)
    with service_of(server, WORKER_THREADS=threads, WORKER_SHUTDOWN_GRACE="0.2") as service:
        until(lambda: called(path) == {job.id: 1 for job in jobs}, service=service)
        assert service.terminate() == 0
    assert sorted(redis.lrange("rq:queue:default", 0, -1)) == sorted(job.id.encode() for job in jobs)
    assert statuses(jobs) == {"queued": len(jobs)}
    assert [redis.hmget(job.key, "handbacks", "crashes") for job in jobs] == [[b"1", None]] * len(jobs)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_their_timeouts_and_exits_are_failures_of_their_job_alone(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path, threads: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    late = queue.enqueue(
        tasks.journal_and_return, str(path), str(gate), on_success=Callback(tasks.callback_behind_a_gate, timeout=1)
    )
    leaving = queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.callback_that_exits))
    other = queue.enqueue(tasks.add, 1, 1)
    with service_of(server, WORKER_THREADS=threads) as service:
        until(lambda: statuses([late, leaving, other]) == {"failed": 2, "finished": 1}, service=service)
        assert [line["status"] for line in service.of("child.exited")] == []
    assert "timeout of 1 seconds" in record(redis, late.id)["message"]
    assert record(redis, leaving.id)["exception"] == "SystemExit"
    assert other.get_status() == "finished"
