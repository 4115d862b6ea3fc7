"""Steps of jobs in a real service while Redis is away, while it stops, and beside other jobs."""

from __future__ import annotations

import signal
from pathlib import Path
from time import monotonic

import redis as redis_py
from rq import Queue, Retry
from rq.job import Job

from tests.support import tasks
from tests.support.engine import claimed_everything_back
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from tests.support.waiting import SLACK_SECONDS


def status(job: Job) -> str:
    return str(job.get_status(refresh=True).value)


def begun(path: Path) -> list[str]:
    """Return which steps and items began, in their order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1].removeprefix("begin:") for line in lines if line.split()[1].startswith("begin:")]


def test_a_step_waits_for_redis_and_is_not_repeated(own_server: RedisServer, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with own_server.client() as redis, Service(own_server.url, WORKER_PROCESSES="1") as service:
        job = Queue("default", connection=redis).enqueue(tasks.step_behind_a_gate, str(path), str(gate))
        until(lambda: begun(path), service=service)
        own_server.kill()
        gate.touch()
        assert service.wait_for("job.step_waits", job_id=job.id)["code"] == "refused"
        own_server.restart(keep_data=True)
        service.wait_for("job.step_waited", job_id=job.id)
        until(lambda: status(job) == "finished", service=service)
        assert begun(path) == ["a"]


def test_a_step_that_redis_does_not_keep_until_the_timeout_fails_in_words(
    own_server: RedisServer, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with own_server.client() as redis, Service(own_server.url, WORKER_PROCESSES="1") as service:
        queue = Queue("default", connection=redis)
        retry = Retry(max=1, interval=600)
        job = queue.enqueue(tasks.step_behind_a_gate, str(path), str(gate), job_timeout=6, retry=retry)
        until(lambda: begun(path), service=service)
        own_server.kill()
        gate.touch()
        until(Path(f"{gate}.over").exists, service=service)
        own_server.restart(keep_data=True)
        error = until(lambda: redis.hget(job.key, "last_error"), service=service).decode()
    assert error.startswith(
        "NotKept: Redis does not answer as it should, so what the step 'a' has done cannot be kept "
    )
    assert "before the job's timeout" in error


def test_a_stop_while_redis_is_away_does_not_wait_for_the_step(own_server: RedisServer, tmp_path: Path) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with (
        own_server.client() as redis,
        Service(own_server.url, WORKER_PROCESSES="1", WORKER_SHUTDOWN_GRACE="60") as service,
    ):
        job = Queue("default", connection=redis).enqueue(
            tasks.step_behind_a_gate, str(path), str(gate), job_timeout=900
        )
        until(lambda: begun(path), service=service)
        own_server.kill()
        gate.touch()
        service.wait_for("job.step_waits")
        service.signal(signal.SIGTERM)
        service.wait_for("job.interrupted", job_id=job.id)
        own_server.restart(keep_data=True)
        assert service.wait() == 0
        assert (status(job), redis.hget(job.key, "attempts")) == ("queued", None)


def test_a_stop_hands_a_job_back_at_its_next_step_and_another_service_goes_on_there(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    began = monotonic()
    with Service(server.url, WORKER_SHUTDOWN_GRACE="120", WORKER_PROCESSES="1") as old:
        job = queue.enqueue(tasks.long_job, str(path), 1000, 0, 0.2, job_timeout=900)
        until(lambda: len(begun(path)) == 3, service=old)
        assert old.terminate() == 0
        assert monotonic() - began < 60 + SLACK_SECONDS, "the grace was not waited for"
        assert old.of("job.interrupted", job_id=job.id)[0]["where"].startswith("before the step 'step:")
    assert status(job) == "queued"
    assert redis.hmget(job.key, "attempts", "crashes", "handbacks") == [None, None, b"1"]
    claimed_everything_back(redis)
    done = len(begun(path))
    with Service(server.url, WORKER_PROCESSES="1") as new:
        until(lambda: len(begun(path)) > done + 1, service=new)
        new.kill_tree()
    assert begun(path)[: done + 2] == [f"step-{number}" for number in range(done + 2)]


def test_a_job_that_is_left_at_a_step_does_not_wait_for_the_jobs_beside_it(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, other, gate = tmp_path / "journal", tmp_path / "other", tmp_path / "gate"
    with Service(server.url, WORKER_SHUTDOWN_GRACE="120", WORKER_PROCESSES="1", WORKER_THREADS="2") as service:
        beside = queue.enqueue(tasks.journal_and_wait, str(other), str(gate), job_timeout=900)
        job = queue.enqueue(tasks.long_job, str(path), 1000, 0, 0.2, job_timeout=900)
        until(lambda: len(begun(path)) >= 2 and runs(other), service=service)
        service.signal(signal.SIGTERM)
        until(lambda: status(job) == "queued", service=service)
        assert status(beside) == "started"
        gate.touch()
        assert service.wait() == 0
    assert (status(beside), status(job)) == ("finished", "queued")
    assert redis.hmget(job.key, "attempts", "handbacks") == [None, b"1"]
    claimed_everything_back(redis)


def test_stops_of_a_job_that_gets_on_never_bury_it(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.long_job, str(path), 1000, 0, 0.1, job_timeout=900)
    for _ in range(4):
        with Service(server.url, WORKER_PROCESSES="1", WORKER_MAX_HANDBACKS="2") as service:
            before = len(begun(path))
            until(lambda before=before: len(begun(path)) > before + 1, service=service)
            assert service.terminate() == 0
        assert (status(job), redis.hget(job.key, "handbacks")) == ("queued", b"1")
