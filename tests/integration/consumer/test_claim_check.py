"""What the server has claimed for a consumer that does not know of it goes back, although no error told of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import desk, waiting
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker.settings import pace


def claimed_twice(redis: redis_py.Redis, worker_name: str) -> list[str]:
    """Claim a job for a worker with its own token, as a repeated request does whose first reply nobody gets."""
    claims = desk(redis, worker_name)
    claims.fence = redis.hget(f"rq:worker:{worker_name}", "fence").decode()
    claims._counter = 1 << 20
    return [claim.job_id for claim in claims.settle_and_claim([], 1).claims]


@pytest.mark.parametrize("queues", [["default"], ["high", "default"]])
def test_a_consumer_whose_client_repeats_commands_runs_every_job_once(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path, queues: list[str]
) -> None:
    path = tmp_path / "journal"
    with Proxy(server.port) as proxy, redis_py.Redis(port=proxy.port) as given:
        assert given.get_retry().get_retries() > 0
        for nth in range(2, 8):
            jobs = [Queue("default", connection=redis).enqueue(tasks.journal_and_sleep, str(path), 0) for _ in range(9)]
            proxy.lose("EVALSHA", "after", nth=nth)
            consumer(given, *queues).work(burst=True)
            assert proxy.lost == nth - 1
            assert [job.get_status() for job in jobs] == ["finished"] * len(jobs)
        assert set(runs(path).values()) == {1}
        assert given.ping()


def test_what_nobody_knows_of_is_given_back_while_the_consumer_idles(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "CLAIM_CHECK_SECONDS", 0.3)
    queue = Queue("default", connection=redis)
    worker = consumer(redis)
    before = queue.enqueue(tasks.add, 1, 1)

    def claim_behind_its_back() -> None:
        eventually(lambda: before.get_status() == "finished")
        queue.enqueue(tasks.add, 1, 2, job_id="lost")
        claimed.extend(claimed_twice(redis, worker.name))

    claimed: list[str] = []
    thread = threading.Thread(target=claim_behind_its_back)
    thread.start()
    worker.work(max_idle_time=2)
    thread.join()
    assert claimed in (["lost"], []), "or the consumer was faster"
    assert queue.fetch_job("lost").get_status() == "finished"


def test_what_nobody_knows_of_is_given_back_while_a_long_job_runs(
    redis: redis_py.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "CLAIM_CHECK_SECONDS", 0.3)
    path, gate = tmp_path / "journal", tmp_path / "gate"
    long_job = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(path), str(gate))
    worker = consumer(redis)

    def claim_behind_its_back() -> None:
        eventually(lambda: runs(path)[long_job.id] == 1)
        Queue("high", connection=redis).enqueue(tasks.add, 1, 2, job_id="lost")
        assert claimed_twice(redis, worker.name) == ["lost"]
        eventually(lambda: waiting(redis, "high") == ["lost"])
        given_back.append(long_job.get_status())
        gate.touch()

    given_back: list[str] = []
    thread = threading.Thread(target=claim_behind_its_back)
    thread.start()
    worker.work(burst=True)
    thread.join()
    assert given_back == ["started"]
    assert runs(path)[long_job.id] == 1
    assert Queue("high", connection=redis).fetch_job("lost").get_status() == "finished"


def test_a_consumer_that_ends_leaves_nothing_claimed_that_it_does_not_know_of(
    redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    worker = consumer(redis)

    def claim_behind_its_back() -> None:
        eventually(lambda: runs(path)[job.id] == 1)
        queue.enqueue(tasks.add, 1, 2, job_id="lost")
        assert claimed_twice(redis, worker.name) == ["lost"]
        gate.touch()

    thread = threading.Thread(target=claim_behind_its_back)
    thread.start()
    worker.work(max_jobs=1)
    thread.join()
    assert waiting(redis) == ["lost"]
    assert redis.keys("rq:execution:*") == []


@pytest.mark.parametrize("threads", ["1", "3"])
def test_jobs_in_hand_are_never_given_back(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path, threads: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    queue = Queue("default", connection=redis)
    modules = "tests.support.tasks,tests.support.doubtful"
    environ = {"WORKER_THREADS": threads, "WORKER_PROCESSES": "1", "WORKER_JOB_MODULES": modules}
    with Service(server.url, **environ) as service:
        running = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(int(threads))]
        until(lambda: len(runs(path)) == len(running), service=service)
        name = redis.hget(running[0].key, "worker_name").decode()
        Queue("high", connection=redis).enqueue(tasks.add, 1, 2, job_id="lost")
        assert claimed_twice(redis, name) == ["lost"]
        service.wait_for("claims.recovered", released=1)
        fence = redis.hget(f"rq:worker:{name}", "fence")
        gate.touch()
        until(lambda: {job.get_status() for job in running} == {"finished"}, service=service)
        until(lambda: Queue("high", connection=redis).fetch_job("lost").get_status() == "finished", service=service)
        assert set(runs(path).values()) == {1}
        assert fence[:16] == redis.hget(f"rq:worker:{name}", "fence")[:16], "it is the same process"


def test_an_idle_consumer_does_not_look(server: RedisServer, redis: redis_py.Redis) -> None:
    modules = "tests.support.tasks,tests.support.doubtful"
    environ = {"WORKER_PROCESSES": "1", "WORKER_JOB_MODULES": modules, "WORKER_SCHEDULER_INTERVAL": "0"}
    with Service(server.url, **environ) as service:
        job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
        until(lambda: job.get_status() == "finished", service=service)
        name = redis.hget(job.key, "worker_name").decode()
        key = f"rq:worker:{name}"
        first = redis.hget(key, "fence")
        until(lambda: redis.hget(key, "fence") != first, service=service, what="the look after the job")
        looked, begun = redis.hget(key, "fence"), redis.time()[0]
        until(lambda: redis.time()[0] > begun + 3)
        assert redis.hget(key, "fence") == looked, "each look takes a new token"
