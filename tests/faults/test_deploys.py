"""Deploys as Render makes them: stops at any moment, old and new release side by side, jobs too long for a grace."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import ModuleType

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.engine import claimed_everything_back
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from tests.support.waiting import SLACK_SECONDS
from worker.fleet import reading
from worker.keys import Keys

#: Two releases of one package of jobs: the second one knows more.
OLD = "def greet(name):\n    return f'old {name}'\n"
NEW = OLD.replace("old", "new") + "\n\ndef leave(name):\n    return f'bye {name}'\n"
NEW += "\n\nclass Shopper(str):\n    pass\n"


def status(job: Job) -> str:
    return str(job.get_status(refresh=True).value)


# -- stops -----------------------------------------------------------------------------------------------------------


def test_a_stop_during_the_boot_ends_it_before_it_has_claimed_anything(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "slow_jobs.py").write_text(
        f"import pathlib, time\nhere = pathlib.Path({str(tmp_path)!r})\n(here / 'importing').touch()\n"
        "while not (here / 'gate').exists():\n    time.sleep(0.02)\n"
    )
    job = queue.enqueue(tasks.add, 1, 2)
    with Service(server.url, WORKER_JOB_MODULES="slow_jobs,tests.support.tasks", PYTHONPATH=str(tmp_path)) as service:
        until((tmp_path / "importing").exists, service=service)
        service.signal(signal.SIGTERM)
        (tmp_path / "gate").touch()
        assert service.wait() == 0
        assert service.of("child.spawned") == []
    assert status(job) == "queued"


def test_a_second_stop_interrupts_jobs_at_once_and_they_lose_nothing(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    saved, path = tmp_path / "checkpoint", tmp_path / "journal"
    with Service(server.url, WORKER_SHUTDOWN_GRACE="60", WORKER_PROCESSES="1") as service:
        job, behind = queue.enqueue(tasks.checkpoint, str(saved), str(path)), queue.enqueue(tasks.add, 1, 2)
        until(lambda: runs(path)[job.id] == 1, service=service)
        began = monotonic()
        service.signal(signal.SIGTERM)
        service.wait_for("service.stopping", hard=False)
        assert service.terminate() == 0
        assert monotonic() - began < 10 + SLACK_SECONDS
        assert saved.read_text() == "saved"
    assert [job_id.decode() for job_id in redis.lrange("rq:queue:default", 0, -1)] == [job.id, behind.id]
    assert redis.hget(job.key, "attempts") is None
    claimed_everything_back(redis)


def test_a_job_that_goes_on_is_reminded_of_a_hard_stop_until_it_is_killed(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    """One signal may not be enough: Linux may hand it to a thread of the job while the main thread sleeps on."""
    path = tmp_path / "journal"
    with Service(server.url, WORKER_SHUTDOWN_GRACE="0", WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.hear_signals, str(path), int(signal.SIGQUIT))
        until(lambda: runs(path)[job.id] == 1, service=service)
        assert service.terminate() == 0
    assert path.read_text().count(" heard ") >= 2
    assert status(job) == "queued"


@pytest.mark.slow
def test_a_stop_while_redis_is_away_ends_in_time_and_the_next_release_has_the_jobs(
    own_server: RedisServer, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with own_server.client() as redis:
        queue = Queue("default", connection=redis)
        with Service(own_server.url, WORKER_SHUTDOWN_GRACE="1", WORKER_PROCESSES="1") as old:
            job = queue.enqueue(tasks.journal_and_sleep, str(journal), 300, job_timeout=600)
            until(lambda: runs(journal)[job.id] == 1, service=old)
            own_server.kill()
            began = monotonic()
            assert old.terminate() == 0
            assert monotonic() - began < 1 + 8 + SLACK_SECONDS
            assert old.of("consumer.left_behind")
        own_server.restart(keep_data=True)
        with Service(own_server.url, WORKER_PROCESSES="1") as new:
            until(lambda: runs(journal)[job.id] == 2, 90, service=new)
            assert status(job) == "started"
            new.kill_tree()


def test_scaling_in_lets_the_running_job_finish_and_hands_its_neighbours_on(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url, WORKER_PROCESSES="2") as service:
        jobs = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(2)]
        until(lambda: len(runs(path)) == 2, service=service)
        service.signal(signal.SIGTTOU)
        service.wait_for("service.scaled", consumers=1)
        gate.touch()
        more = [queue.enqueue(tasks.add, 1, 2) for _ in range(10)]
        until(lambda: {status(job) for job in [*jobs, *more]} == {"finished"}, service=service)
        until(lambda: len(service.children()) == 1, service=service)
        assert service.terminate() == 0
    assert all(redis.hget(job.key, "attempts") is None for job in jobs)


@pytest.mark.parametrize("stubborn", [False, True], ids=["interrupted", "killed"])
def test_a_job_that_never_ends_between_deploys_is_noticed_and_buried_and_a_replay_begins_anew(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path, stubborn: bool
) -> None:
    saved, path = tmp_path / "checkpoint", tmp_path / "journal"
    endless = (tasks.swallow, str(path)) if stubborn else (tasks.checkpoint, str(saved), str(path))
    job = queue.enqueue(*endless)
    for times in (1, 2, 3, 4):
        with Service(
            server.url, WORKER_SHUTDOWN_GRACE="0.2", WORKER_PROCESSES="1", WORKER_MAX_HANDBACKS="4"
        ) as service:
            until(lambda times=times: runs(path)[job.id] == times, service=service)  # claimed is not begun
            assert service.terminate() == 0
            assert redis.hget(job.key, "handbacks") == str(times).encode()
            if times < 4:
                assert status(job) == "queued"
                assert service.of("job.interrupted", handbacks=times)
                seen = reading.read(redis, Keys("rq"), ["default"], "dead-letter")
                assert seen.handed_back == {job.id: times}
                assert any("stops of the service" in told for told in seen.attention()) == (times >= 3)
    assert status(job) == "failed"
    assert service.of("job.buried", reason="handed_back")
    written = record(redis, job.id)
    assert written["reason"] == "handed_back"
    assert "4 stops of the service in a row" in written["message"]
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]
    claimed_everything_back(redis)
    with Service(server.url, WORKER_SHUTDOWN_GRACE="0.2", WORKER_PROCESSES="1", WORKER_MAX_HANDBACKS="3") as again:
        job.requeue()
        until(lambda: runs(path)[job.id] == 5, service=again)
        assert again.terminate() == 0
    assert status(job) == "queued"
    assert redis.hget(job.key, "handbacks") == b"1"


# -- overlap ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Folders with the package of the old and of the new release."""
    for name, text in (("old", OLD), ("new", NEW)):
        (tmp_path / name / "shop_jobs").mkdir(parents=True)
        (tmp_path / name / "shop_jobs" / "__init__.py").write_text(text)
    (tmp_path / "new" / "shop_jobs" / "invoices.py").write_text("def send(number):\n    return number\n")
    return iter([(str(tmp_path / "old"), str(tmp_path / "new"))])


def release(server: RedisServer, folder: str, **environ: str) -> Service:
    return Service(
        server.url,
        PYTHONPATH=folder,
        WORKER_JOB_MODULES="shop_jobs",
        WORKER_PROCESSES="1",
        RENDER_GIT_COMMIT=os.path.basename(folder),
        **environ,
    )


def test_a_job_that_the_old_release_does_not_know_waits_for_the_new_one(
    server: RedisServer,
    queue: Queue,
    redis: redis_py.Redis,
    releases: Iterator[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old_folder, new_folder = next(releases)
    producer = ModuleType("shop_jobs")  # as the producer of the new release has it
    exec(NEW, vars(producer))
    monkeypatch.setitem(sys.modules, "shop_jobs", producer)
    with release(server, old_folder) as old:
        jobs = [queue.enqueue("shop_jobs.leave", "you"), queue.enqueue("shop_jobs.invoices.send", 7)]
        jobs.append(queue.enqueue("shop_jobs.greet", producer.Shopper("Ann")))
        known = queue.enqueue("shop_jobs.greet", "you")
        for job in jobs:
            old.wait_for("job.waits_for_release", job_id=job.id)
        until(lambda: status(known) == "finished", service=old)
        assert known.return_value() == "old you"
        with release(server, new_folder) as new:
            new.wait_for("service.started")
            assert old.terminate() == 0
            until(lambda: [status(job) for job in jobs] == ["finished"] * 3, 60, service=new)
            assert [job.return_value() for job in jobs] == ["bye you", 7, "new Ann"]
            assert new.terminate() == 0
    for job in jobs:
        assert redis.hget(job.key, "attempts") is None, "waiting burns no attempt"
        assert re.search(rb"There is no .*shop_jobs.* in this release", redis.hget(job.key, "last_error"))
    assert redis.llen("rq:queue:dead-letter") == 0


def test_a_function_that_no_release_knows_is_waited_for_only_so_long(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, releases: Iterator[tuple[str, str]]
) -> None:
    old_folder, _ = next(releases)
    with release(server, old_folder, WORKER_UNKNOWN_GRACE="3") as service:
        began = monotonic()
        job = queue.enqueue("shop_jobs.misspelt")
        until(lambda: status(job) == "failed", 60, service=service)
        assert monotonic() - began >= 3
        assert [event["retry_in"] for event in service.of("job.waits_for_release")] == [1.0, 2.0]
        assert record(redis, job.id)["reason"] == "unknown_function"


def test_without_deploys_an_unknown_function_is_a_dead_letter_at_once(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, releases: Iterator[tuple[str, str]]
) -> None:
    old_folder, _ = next(releases)
    with Service(server.url, PYTHONPATH=old_folder, WORKER_JOB_MODULES="shop_jobs") as service:
        job = queue.enqueue("shop_jobs.misspelt")
        until(lambda: status(job) == "failed", service=service)
        assert service.of("job.waits_for_release") == []


def test_two_releases_side_by_side_keep_below_the_connections_that_the_documents_promise(
    server: RedisServer, queue: Queue, redis: redis_py.Redis
) -> None:
    """At most 2 a consumer and 2 + queues a dispatcher, while all consumers work."""
    before = len(redis.client_list())
    with Service(server.url) as old, Service(server.url) as new:
        most = 0
        jobs = queue.enqueue_many([Queue.prepare_data(tasks.sleep, (0.05,)) for _ in range(100)])

        def worked() -> bool:
            nonlocal most
            most = max(most, len(redis.client_list()) - before)
            return all(status(job) == "finished" for job in jobs[-4:])

        until(worked, 60, service=new)
        assert old.terminate() == new.terminate() == 0
    print(f"{most} connections of two instances with 2 consumers and 2 queues each")
    assert most <= 2 * (2 * 2 + 2 + 2)
