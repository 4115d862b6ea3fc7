"""Jobs side by side in the threads of one consumer: each has its own timeout, context, order, end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import Job

from tests.support import tasks
from tests.support.letters import record
from tests.support.sentry_sink import SentrySink
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.tasks import runs
from tests.support.waiting import SLACK_SECONDS


def threads(server: RedisServer, **environ: str) -> Service:
    return Service(server.url, WORKER_THREADS="4", WORKER_PROCESSES="1", WORKER_QUEUES="default", **environ)


@pytest.fixture
def service(server: RedisServer) -> Iterator[Service]:
    with threads(server, WORKER_SHUTDOWN_GRACE="30") as running:
        yield running


def drains(service: Service) -> bool:
    """Whether the consumer has heard that it must stop, which its supervisor tells when it is asked."""
    service.signal(signal.SIGUSR1)
    return bool(service.of("child.state", state="draining"))


def all_are(status: str, *jobs: Job) -> bool:
    return all(job.get_status() == status for job in jobs)


def test_each_job_knows_who_it_is(service: Service, queue: Queue) -> None:
    jobs = [queue.enqueue(tasks.tell_who_i_am, 0.2) for _ in range(4)]
    until(lambda: all_are("finished", *jobs), service=service)
    assert [job.return_value() for job in jobs] == [job.id for job in jobs]
    spoken = service.of("task.spoke")
    assert sorted(event["job_id"] for event in spoken) == sorted(job.id for job in jobs)
    assert {event["function"] for event in spoken} == {"tests.support.tasks.tell_who_i_am"}
    assert all("job_id" not in event for event in service.of("child.spawned"))


def test_a_timeout_ends_one_job_and_leaves_the_others(service: Service, queue: Queue) -> None:
    late = queue.enqueue(tasks.nap_in_steps, 30, job_timeout=1)
    others = [queue.enqueue(tasks.nap_in_steps, 2) for _ in range(3)]
    until(lambda: late.get_status() == "failed", service=service)
    assert record(late.connection, late.id)["reason"] == "timeout"
    assert "1 seconds" in record(late.connection, late.id)["message"]
    until(lambda: all_are("finished", *others), service=service)
    assert service.of("child.killed") == []


def test_a_job_that_swallows_its_timeout_dies_with_the_process_and_its_neighbours_run_again_without_blame(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    gate = tmp_path / "gate"
    stuck = queue.enqueue(tasks.swallow, job_timeout=1)
    neighbours = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(2)]
    until(lambda: stuck.get_status() == "failed", 60, service=service)
    assert record(stuck.connection, stuck.id)["reason"] == "timeout"
    assert service.wait_for("child.killed", reason="timeout")
    until(lambda: runs(path) == {job.id: 2 for job in neighbours}, service=service)
    gate.touch()
    until(lambda: all_are("finished", *neighbours), service=service)
    assert runs(path) == {job.id: 2 for job in neighbours}
    assert [redis.hmget(job.key, "crashes", "attempts") for job in neighbours] == [[None, None]] * 2


def test_of_several_overdue_jobs_each_fails_once_and_their_neighbour_runs_again_without_blame(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    late = [queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=seconds) for seconds in (1, 2, 3)]
    neighbour = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: all_are("failed", *late), 60, service=service)
    assert [record(redis, job.id)["reason"] for job in late] == ["timeout"] * 3
    assert [record(redis, job.id)["attempts"] for job in late] == [1] * 3
    until(lambda: runs(path)[neighbour.id] == 2, service=service)
    gate.touch()
    until(lambda: neighbour.get_status() == "finished", service=service)
    assert runs(path) == {**{job.id: 1 for job in late}, neighbour.id: 2}
    assert len(service.of("child.killed")) == 1
    assert redis.hmget(neighbour.key, "crashes", "attempts", "suspect") == [None] * 3


def test_a_job_that_holds_the_interpreter_does_not_hide_that_others_are_overdue_too(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    late = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=4)
    until(lambda: runs(path)[late.id] == 1, service=service)
    stuck = queue.enqueue(tasks.stuck_in_native_code, str(path), job_timeout=2)
    until(lambda: all_are("failed", late, stuck), 60, service=service)
    assert [record(redis, job.id)["reason"] for job in (late, stuck)] == ["timeout"] * 2
    assert runs(path) == {late.id: 1, stuck.id: 1}


def test_each_overdue_job_that_may_try_again_has_used_one_attempt(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    late = [
        queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=1, retry=Retry(max=1, interval=600))
        for _ in range(3)
    ]
    until(lambda: all_are("scheduled", *late), 60, service=service)
    assert [redis.hmget(job.key, "attempts", "crashes") for job in late] == [[b"1", None]] * 3
    assert runs(path) == {job.id: 1 for job in late}


def test_a_job_that_ignores_the_stop_command_is_stopped_with_its_process_and_its_neighbours_are_not(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    first, *ordered = [queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=n) for n in (9, 600, 700)]
    neighbour = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: len(runs(path)) == 4, service=service)
    for job in ordered:
        send_stop_job_command(redis, job.id)
    until(lambda: all_are("stopped", *ordered), 60, service=service)
    assert service.wait_for("child.killed", reason="ordered")
    until(lambda: first.get_status() == "failed", 60, service=service)
    gate.touch()
    until(lambda: neighbour.get_status() == "finished", service=service)
    assert {job.id: runs(path)[job.id] for job in ordered} == {job.id: 1 for job in ordered}
    assert record(redis, first.id)["reason"] == "timeout"
    assert redis.hmget(neighbour.key, "crashes", "attempts") == [None, None]


def test_a_job_that_ignores_kill_horse_fails_with_its_process(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    jobs = [queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600) for _ in range(2)]
    until(lambda: len(runs(path)) == 2, service=service)
    send_kill_horse_command(redis, redis.hget(jobs[0].key, "worker_name").decode())
    until(lambda: all_are("failed", *jobs), 60, service=service)
    assert {record(redis, job.id)["exception"].rpartition(".")[2] for job in jobs} == {"KilledByOrder"}
    assert runs(path) == {job.id: 1 for job in jobs}


def test_callbacks_of_one_job_do_not_hide_that_another_is_overdue(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    late = queue.enqueue(tasks.journal_and_sleep, str(tmp_path / "journal"), 300, job_timeout=3)
    short = queue.enqueue(tasks.nap_in_steps, 1, on_success=Callback(tasks.on_success))
    until(lambda: short.get_status() == "finished", service=service)
    until(lambda: late.get_status() == "failed", 10 + SLACK_SECONDS, service=service)
    assert record(redis, late.id)["reason"] == "timeout"


def test_only_the_job_that_kills_its_process_is_buried(service: Service, queue: Queue, redis: redis_py.Redis) -> None:
    """Nobody knows which of the four it was: each is run alone after the first death, so the second names it."""
    innocent = [queue.enqueue(tasks.nap_in_steps, 1) for _ in range(3)]
    poison = queue.enqueue(tasks.die)
    until(lambda: poison.get_status() == "failed", 60, service=service)
    assert record(poison.connection, poison.id)["reason"] == "crashed"
    until(lambda: all_are("finished", *innocent), 60, service=service)
    assert [redis.hget(job.key, "crashes") for job in innocent] == [None] * 3


def test_short_jobs_are_claimed_ahead_and_given_away_when_all_threads_are_busy_for_long(
    service: Service, queue: Queue, server: RedisServer, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    short = queue.enqueue_many([Queue.prepare_data(tasks.add, (1, 1)) for _ in range(600)])
    until(lambda: all_are("finished", *short), 60, service=service)
    long_jobs = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(4)]
    behind = [queue.enqueue(tasks.add, 1, 1) for _ in range(20)]
    until(lambda: len(runs(path)) == 4, service=service)
    with threads(server) as sibling:
        until(lambda: all_are("finished", *behind), service=sibling)
        assert all_are("started", *long_jobs), "they did not wait for their neighbours"
        gate.touch()
        until(lambda: all_are("finished", *long_jobs), service=service)


def test_a_soft_stop_lets_every_thread_finish_and_hands_back_what_had_not_begun(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    running = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(4)]
    until(lambda: len(runs(path)) == 4, service=service)
    waiting = [queue.enqueue(tasks.add, 1, 1) for _ in range(5)]
    service.signal(signal.SIGTERM)
    service.wait_for("service.stopping")
    until(lambda: drains(service), what="the consumer's part in the stop", service=service)
    gate.touch()
    assert service.wait() == 0
    assert all_are("finished", *running)
    assert redis.lrange("rq:queue:default", 0, -1) == [job.id.encode() for job in waiting]
    assert redis.keys("rq:execution:*") == []


def test_when_the_grace_is_over_every_thread_is_interrupted_and_its_job_handed_back(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    with threads(server, WORKER_SHUTDOWN_GRACE="1") as service:
        jobs = [
            queue.enqueue(tasks.journal_and_wait, str(path), str(tmp_path / "never")),
            queue.enqueue(tasks.swallow, str(path)),
            queue.enqueue(tasks.journal_and_sleep, str(path), 60),
        ]
        until(lambda: len(runs(path)) == 3, service=service)
        began = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - began < 8 + SLACK_SECONDS
    assert sorted(redis.lrange("rq:queue:default", 0, -1)) == sorted(job.id.encode() for job in jobs)
    assert [redis.hmget(job.key, "handbacks", "crashes", "attempts") for job in jobs] == [[b"1", None, None]] * 3
    assert redis.keys("rq:execution:*") == []


def test_sentry_hears_of_each_job_under_its_own_name(server: RedisServer, queue: Queue) -> None:
    with SentrySink() as sink, threads(server, SENTRY_DSN=sink.dsn) as service:
        jobs = [queue.enqueue(tasks.fail_after, 0.5, f"failure {number}") for number in range(4)]
        until(lambda: all_are("failed", *jobs), service=service)
        until(lambda: len(sink.events) >= 4, what="Sentry's hearing of it", service=service)
        assert service.terminate() == 0
        told = {
            event["contexts"]["rq-job"]["job_id"]: event["exception"]["values"][-1]["value"] for event in sink.events
        }
    assert told == {job.id: f"failure {number}" for number, job in enumerate(jobs)}


def test_a_frozen_process_is_found_by_the_first_deadline_of_its_jobs(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    frozen = queue.enqueue(tasks.freeze, str(path), 2, job_timeout=3)
    neighbour = queue.enqueue(tasks.journal_and_wait, str(path), str(gate), job_timeout=300)
    assert service.wait_for("child.killed")["reason"] == "timeout"
    until(lambda: runs(path)[neighbour.id] == 2, service=service)
    gate.touch()
    until(lambda: all_are("failed", frozen) and all_are("finished", neighbour), service=service)
    assert record(frozen.connection, frozen.id)["reason"] == "timeout"
    assert redis.hget(neighbour.key, "crashes") is None
