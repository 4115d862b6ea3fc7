"""The last nets: a fault of ours costs one job, or a moment, and neither a thread nor the consumer.

Something that a net is around is made to fail; the nets themselves, and all else, are real.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue
from rq.command import send_stop_job_command
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.waiting import eventually
from tests.support.worker import consumer, work
from worker.consumer import command_listener, housekeeper, runner
from worker.engine.rq_commands import RqCommands


class Fault(RuntimeError):
    """Nothing that anybody expects."""


def failing_once(real: Callable[..., Any], at: int = 1) -> tuple[Callable[..., Any], list[int]]:
    """Return the function with a fault in its call number `at`, and the list of its calls."""
    calls: list[int] = []

    def function(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(calls) + 1)
        if calls[-1] == at:
            raise Fault("a fault of ours")
        return real(*args, **kwargs)

    return function, calls


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_fault_over_one_job_ends_that_job(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    faulty, _ = failing_once(runner.sentry.isolated, at=3)
    monkeypatch.setattr(runner.sentry, "isolated", faulty)
    jobs = [queue.enqueue(tasks.add, number, 1) for number in range(8)]
    watchdog = threading.Timer(60, os.kill, (os.getpid(), signal.SIGTERM))  # a consumer that waits for ever stops
    watchdog.start()
    with capture_logs() as lines:
        work(redis, WORKER_THREADS=threads)
    watchdog.cancel()
    ends = [job.get_status(refresh=True) for job in jobs]
    assert sorted(ends) == ["failed", *["finished"] * 7]
    failed = jobs[ends.index("failed")]
    letter = json.loads(redis.hget(f"rq:job:{failed.id}", "dead_letter") or "{}")
    assert (letter["reason"], redis.lrange("rq:queue:dead-letter", 0, -1)) == ("mishandled", [failed.id.encode()])
    assert [line["job_id"] for line in lines if line["event"] == "job.mishandled"] == [failed.id]
    assert redis.zcard("rq:wip:default") == 0


def test_a_fault_over_a_callback_leaves_it_to_the_main_thread(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty, _ = failing_once(runner.sentry.isolated, at=2)  # the first is around the job
    monkeypatch.setattr(runner.sentry, "isolated", faulty)
    job = queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.on_success))
    queue.enqueue(tasks.add, 1, 1)
    with capture_logs() as lines:
        consumer(redis).work(max_jobs=2)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["callbacks.failed"]
    assert job.get_status(refresh=True) == "finished"
    assert redis.get(f"callback:{job.id}") == b"2"


def test_a_fault_of_the_housekeeper_costs_one_look(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty, calls = failing_once(housekeeper.registries.steps)
    monkeypatch.setattr(housekeeper.registries, "steps", faulty)
    gate = tmp_path / "gate"
    job = queue.enqueue(tasks.journal_and_wait, str(tmp_path / "journal"), str(gate))
    neighbour = queue.enqueue(tasks.add, 1, 1)
    worker = consumer(redis)
    worker.maintenance_interval = worker.job_monitoring_interval = 0.1

    def open_the_gate() -> None:
        try:
            eventually(lambda: len(calls) >= 3, 30, what="the housekeeper's next looks, while the job runs")
        finally:
            gate.touch()

    opener = threading.Thread(target=open_the_gate)
    opener.start()
    with capture_logs() as lines:
        worker.work(burst=True)
    opener.join()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["housekeeper.failed"]
    assert [one.get_status(refresh=True) for one in (job, neighbour)] == ["finished"] * 2


def test_a_fault_of_the_listener_costs_moments_and_no_order_afterwards(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_listener, "FAULT_SECONDS", 0.1)
    faulty, calls = failing_once(RqCommands.check)
    monkeypatch.setattr(RqCommands, "check", faulty)
    path = tmp_path / "journal"
    gate = tmp_path / "gate"  #: opened only if the order does not come through
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate), job_timeout=300)

    def order() -> None:
        try:
            eventually(lambda: job.id in tasks.runs(path), what="the job's begin")
            redis.publish(f"rq:pubsub:{worker.name}", b"[" * 50_000)  # and what nobody expects to be published
            eventually(lambda: calls, what="the fault")
            eventually(stopped, 30, what="the job's end by order")
        finally:
            gate.touch()

    def stopped() -> bool:
        send_stop_job_command(redis, job.id)
        return job.get_status(refresh=True) == "stopped"

    worker = consumer(redis)
    giver = threading.Thread(target=order)
    giver.start()
    with capture_logs() as lines:
        worker.work(burst=True)
    giver.join()
    assert "orders.failed" in [line["event"] for line in lines]
    assert job.get_status(refresh=True) == "stopped"
