"""RQ's commands reach their consumer from the first moment on, whatever has just happened to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import Job

from tests.support import processes, tasks
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.tasks import runs

QUEUES = ["default", "high,default"]


def stop_at_once(redis: redis_py.Redis, job: Job, service: Service | None = None) -> None:
    """Stop a job as soon as anybody can know that it is claimed."""
    key = job.key
    end = time.monotonic() + 60
    while redis.hget(key, "status") != b"started":
        assert time.monotonic() < end, service.tail() if service else "the job was not claimed"
    send_stop_job_command(redis, job.id)


def is_stopped(job: Job) -> Callable[[], bool]:
    return lambda: job.get_status() == "stopped"


@pytest.mark.parametrize("queues", QUEUES)
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_job_that_the_start_of_the_service_finds_can_be_stopped_at_once(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, queues: str, threads: str
) -> None:
    jobs = [queue.enqueue(tasks.journal_and_sleep, str(tmp_path / "journal"), 300, job_timeout=600) for _ in range(3)]
    with Service(server.url, WORKER_QUEUES=queues, WORKER_THREADS=threads) as service:
        for job in jobs:
            stop_at_once(redis, job, service)
        for job in jobs:
            until(is_stopped(job), service=service)


def test_the_first_job_of_a_consumer_that_was_added_can_be_stopped_at_once(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url, WORKER_PROCESSES="1") as service:
        first = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
        until(lambda: runs(path)[first.id] == 1, service=service)
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        service.signal(signal.SIGTTIN)
        stop_at_once(redis, job, service)
        until(is_stopped(job), service=service)
        assert first.get_status() == "started"


@pytest.mark.parametrize("queues", QUEUES)
@pytest.mark.parametrize("role", ["dispatcher", "consumer"])
def test_the_first_job_after_a_respawn_can_be_stopped_at_once(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, queues: str, role: str
) -> None:
    path = tmp_path / "journal"
    with Service(server.url, WORKER_QUEUES=queues, WORKER_PROCESSES="1") as service:
        before = queue.enqueue(tasks.add, 1, 1)
        until(lambda: before.get_status() == "finished", service=service)
        (pid,) = service.children(role)
        os.kill(pid, signal.SIGKILL)
        until(lambda: service.of("child.exited", child=pid), service=service)
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        stop_at_once(redis, job, service)
        until(is_stopped(job), service=service)


def test_a_job_whose_process_has_just_died_can_be_stopped(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    """The order waits for the successor, which decides about the job."""
    path = tmp_path / "journal"
    with Service(server.url, WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        until(lambda: runs(path)[job.id] == 1, service=service)
        (pid,) = service.children()
        os.kill(service.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not processes.is_alive(pid))
        send_stop_job_command(redis, job.id)
        service.wait_for("order.received", job_id=job.id)
        os.kill(service.pid, signal.SIGCONT)
        until(is_stopped(job), service=service)
        assert runs(path)[job.id] == 1


@pytest.mark.parametrize("queues", QUEUES)
def test_the_first_job_after_an_outage_can_be_stopped_at_once(
    own_server: RedisServer, tmp_path: Path, queues: str
) -> None:
    path = tmp_path / "journal"
    with Service(own_server.url, WORKER_QUEUES=queues) as service, own_server.client() as redis:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        queue = Queue("default", connection=redis)
        for _ in range(3):
            own_server.kill()
            service.wait_for("redis.outage_started")
            own_server.start()
            job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
            stop_at_once(redis, job, service)
            until(is_stopped(job), service=service)


def test_many_jobs_of_one_consumer_can_be_stopped_at_the_same_time(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS="16") as service:
        jobs = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(16)]
        until(lambda: len(runs(path)) == len(jobs), service=service)
        for job in jobs[1:]:
            send_stop_job_command(redis, job.id)
        for job in jobs[1:]:
            until(is_stopped(job), service=service)
        gate.touch()
        until(lambda: jobs[0].get_status() == "finished", service=service)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_kill_horse_command_to_an_idle_consumer_kills_no_later_job(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, threads: str
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS=threads) as service:
        before = queue.enqueue(tasks.add, 1, 1)
        until(lambda: before.get_status() == "finished", service=service)
        send_kill_horse_command(redis, before.worker_name or redis.hget(before.key, "worker_name").decode())
        service.wait_for("order.received", command="kill-horse")
        after = queue.enqueue(tasks.nap_in_steps, 0.3)
        until(lambda: after.get_status() == "finished", service=service)


def test_an_order_that_comes_too_late_does_not_stop_the_next_run_of_the_job(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS="2") as service:
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate), job_id="again")
        until(lambda: runs(path)["again"] == 1, service=service)
        send_stop_job_command(redis, job.id)
        until(is_stopped(job), service=service)
        gate.touch()
        queue.enqueue(tasks.journal_and_wait, str(path), str(gate), job_id="again")
        until(lambda: job.get_status() == "finished", service=service)


def test_a_lone_consumers_first_job_can_be_stopped_at_once_and_after_an_outage(
    own_server: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    command = ["rq", "worker", "-u", own_server.url, "-w", "worker.consumer.Consumer", "high", "default"]
    with own_server.client() as redis:
        queue = Queue("default", connection=redis)
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        worker = subprocess.Popen(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=ROOT,
            env={**os.environ, "WORKER_JOB_MODULES": "tests.support.tasks", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            stop_at_once(redis, job)
            until(is_stopped(job))
            for _ in range(2):
                own_server.restart(keep_data=True)
                job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
                stop_at_once(redis, job)
                until(is_stopped(job))
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.slow
def test_a_connection_for_commands_that_died_without_a_word_is_replaced_within_a_minute(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    with Proxy(server.port) as proxy, Service(proxy.url, WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        until(lambda: runs(path)[job.id] == 1, service=service)
        channel = f"rq:pubsub:{redis.hget(job.key, 'worker_name').decode()}"
        proxy.forget(subscribers=True)
        until(lambda: redis.pubsub_numsub(channel)[0][1] == 0)
        until(lambda: redis.pubsub_numsub(channel)[0][1] == 1, 60, service=service)
        send_stop_job_command(redis, job.id)
        until(is_stopped(job), service=service)
