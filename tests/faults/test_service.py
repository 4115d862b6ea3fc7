"""The real process tree: it starts, scales, stops, is killed, and no job is lost. Every wait is for a condition."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from rq.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
from rq.job import Job
from rq.registry import FailedJobRegistry

from tests.support import processes, tasks
from tests.support.commands import rq
from tests.support.engine import claimed_everything_back
from tests.support.server import RedisServer, free_port
from tests.support.service import ROOT, Service, until
from tests.support.tasks import runs
from tests.support.waiting import SLACK_SECONDS


@pytest.fixture(params=["high,default", "default"], ids=["two queues", "one queue"])
def service(request: pytest.FixtureRequest, server: RedisServer) -> Any:
    """With two queues the dispatcher rings the consumers; with one they keep the watch themselves."""
    with Service(server.url, WORKER_QUEUES=request.param, WORKER_SHUTDOWN_GRACE="30") as running:
        yield running


def holder(redis: redis_py.Redis, job: Job) -> int:
    """The pid of the consumer that runs the job."""
    job.refresh()
    return int(redis.hget(f"rq:worker:{job.worker_name}", "pid"))


def asks_nothing(redis: redis_py.Redis) -> bool:
    """Whether no consumer has asked for jobs in the last moments, or has left its claim standing on the server."""
    names = [key.removeprefix(b"rq:worker:").decode() for key in redis.smembers("rq:workers")]
    clients = [client for client in redis.client_list() if client["name"] in names]
    return len(clients) >= len(names) and all(
        int(client["idle"]) >= 2 and "b" not in client["flags"] for client in clients
    )


def registered(redis: redis_py.Redis) -> set[int]:
    """The pids of the workers that Redis knows."""
    return {int(redis.hget(key, "pid") or 0) for key in redis.smembers("rq:workers")}


def test_it_runs_a_job_and_stops_in_order(service: Service, queue: Queue, redis: redis_py.Redis) -> None:
    job = queue.enqueue(tasks.add, 1, 2)
    until(lambda: job.get_status() == "finished", service=service)
    assert job.return_value() == 3
    assert service.terminate() == 0
    assert service.pids() == []
    claimed_everything_back(redis)
    assert redis.smembers("rq:workers") == set()


def test_however_often_it_is_asked_to_stop_it_ends_with_the_code_of_a_stop(service: Service, queue: Queue) -> None:
    queue.enqueue(tasks.add, 1, 2)
    service.wait_for("job.finished")
    for _ in range(5):
        service.signal(signal.SIGTERM)
    service.wait_for("service.stopped")
    while processes.is_alive(service.pid):  # to the last moment: as it finalizes, Python gives up its handlers
        service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_rq_info_sees_its_workers(service: Service, server: RedisServer, redis: redis_py.Redis) -> None:
    until(lambda: redis.scard("rq:workers") == 2, service=service)
    assert "2 workers" in rq("info", url=server.url).stdout


def test_a_killed_consumers_job_runs_again_within_five_seconds(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: runs(path)[job.id] == 1, service=service)
    os.kill(holder(redis, job), signal.SIGKILL)
    until(lambda: runs(path)[job.id] == 2, 5 + SLACK_SECONDS, service=service)
    gate.touch()
    until(lambda: job.get_status() == "finished", service=service)
    assert redis.hget(job.key, "crashes") == b"1"
    told = service.wait_for("job.rescued")
    assert told["job_id"] == job.id
    assert "signal 9" in told["how"], "its successor knew how it died; other instances know only that it is gone"
    until(lambda: len(service.children()) == 2, service=service)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (tasks.die, ("", 9), "out of memory"),
        (tasks.die, ("", 11), "native code"),
        (tasks.exit_now, (3,), "code 3"),
    ],
)
def test_a_job_that_kills_its_process_again_and_again_is_buried(
    service: Service, queue: Queue, redis: redis_py.Redis, function: Any, arguments: Any, words: str
) -> None:
    poison = queue.enqueue(function, *arguments)
    good = [queue.enqueue(tasks.add, 1, 1) for _ in range(5)]
    until(lambda: poison.get_status() == "failed", 60, service=service)
    letter = json.loads(redis.hget(poison.key, "dead_letter"))
    assert letter["reason"] == "crashed"
    assert words in letter["message"]
    until(lambda: all(job.get_status() == "finished" for job in good), service=service)
    assert all(redis.hget(job.key, "crashes") is None for job in good), "neighbours are not blamed"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_consumer_that_dies_while_it_keeps_the_watch_is_followed_by_another(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, how: signal.Signals
) -> None:
    with Service(server.url, WORKER_QUEUES="default") as service:
        for _ in range(3):
            until(lambda: len(service.children()) == 2, service=service)
            # A death during the boot is another matter.
            until(lambda: set(service.children()) <= registered(redis), service=service)
            until(lambda: redis.info("clients")["blocked_clients"] == 1, service=service)
            for consumer in service.children():
                os.kill(consumer, how)
            job = queue.enqueue(tasks.add, 1, 1)
            until(lambda job=job: job.get_status() == "finished", 5 + SLACK_SECONDS, service=service)
        until(lambda: len(service.children()) == 2, service=service)
    claimed_everything_back(redis)


def test_jobs_that_arrive_while_an_instance_stops_are_run_or_left_in_the_queue(
    server: RedisServer, queue: Queue, redis: redis_py.Redis
) -> None:
    """The claim that stands ready on the server may take a job in the very moment its consumer hangs up."""
    for pause in (0.0, 0.001, 0.003, 0.01):
        with Service(server.url, WORKER_QUEUES="default") as service:
            until(lambda: redis.info("clients")["blocked_clients"] == 1, service=service)
            jobs = [queue.enqueue(tasks.add, 1, 1) for _ in range(3)]
            service.signal(signal.SIGTERM)
            time.sleep(pause)
            jobs += [queue.enqueue(tasks.add, 1, 1) for _ in range(20)]
            assert service.wait() == 0
        waiting = [job_id.decode() for job_id in redis.lrange("rq:queue:default", 0, -1)]
        assert sorted(waiting) == sorted(job.id for job in jobs if job.get_status() == "queued")
        assert {job.get_status() for job in jobs} <= {"queued", "finished"}
        claimed_everything_back(redis)
        redis.flushdb()


def test_no_child_survives_its_supervisor(service: Service, queue: Queue, redis: redis_py.Redis) -> None:
    job = queue.enqueue(tasks.sleep, 60)
    until(lambda: job.get_status() == "started", service=service)
    until(lambda: len(service.pids()) == 4, service=service)
    tree = service.pids()
    os.kill(service.pid, signal.SIGKILL)
    until(lambda: not any(map(processes.is_alive, tree)), 2 + SLACK_SECONDS)


def test_another_instance_takes_over_from_one_that_is_gone(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url) as first:
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
        until(lambda: runs(path)[job.id] == 1, service=first)
        with Service(server.url) as second:
            until(lambda: redis.scard("rq:workers") == 4, service=second)
            first.kill_tree()
            until(lambda: runs(path)[job.id] == 2, 45 + SLACK_SECONDS, service=second)
            gate.touch()
            until(lambda: job.get_status() == "finished", service=second)
    assert redis.hget(job.key, "crashes") == b"1"


def test_a_job_that_swallows_its_timeout_is_ended_with_its_process(
    service: Service, queue: Queue, redis: redis_py.Redis
) -> None:
    job = queue.enqueue(tasks.swallow, job_timeout=1)
    until(lambda: job.get_status() == "failed", 60, service=service)
    assert json.loads(redis.hget(job.key, "dead_letter"))["reason"] == "timeout"
    assert service.wait_for("child.killed", reason="timeout")
    assert any("swallow" in line for line in service.output), "the stack dump names the job's code"


def test_a_job_stuck_in_native_code_is_ended_with_its_process(
    service: Service, queue: Queue, redis: redis_py.Redis
) -> None:
    job = queue.enqueue(tasks.stuck_in_native_code, job_timeout=1)
    until(lambda: job.get_status() == "failed", 60, service=service)
    assert json.loads(redis.hget(job.key, "dead_letter"))["reason"] == "timeout"


def test_a_stopped_consumer_process_is_found_stuck_only_by_its_job_deadline(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    job = queue.enqueue(tasks.freeze, str(tmp_path / "journal"), job_timeout=2)
    until(lambda: job.get_status() == "failed", 60, service=service)
    assert json.loads(redis.hget(job.key, "dead_letter"))["reason"] == "timeout"
    assert service.wait_for("child.killed")["reason"] == "timeout"


def test_a_soft_stop_lets_the_running_job_finish(
    service: Service, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    running = [queue.enqueue(tasks.journal_and_wait, str(path), str(gate)) for _ in range(2)]
    waiting = [queue.enqueue(tasks.sleep, 1) for _ in range(5)]
    until(lambda: runs(path).keys() == {job.id for job in running}, service=service)
    service.signal(signal.SIGTERM)
    service.wait_for("service.stopping")
    gate.touch()
    assert service.wait() == 0
    assert [job.get_status() for job in running] == ["finished"] * 2
    left = [job_id.decode() for job_id in redis.lrange("rq:queue:default", 0, -1)]
    assert left == [job.id for job in waiting if job.get_status() == "queued"]
    claimed_everything_back(redis)


def test_when_the_grace_is_over_jobs_go_back_without_burning_an_attempt(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    saved, path = tmp_path / "checkpoint", tmp_path / "journal"
    with Service(server.url, WORKER_SHUTDOWN_GRACE="1") as service:
        jobs = [
            queue.enqueue(tasks.checkpoint, str(saved), str(path)),
            queue.enqueue(tasks.swallow, str(path)),
            queue.enqueue(tasks.add, 1, 1),
        ]
        until(lambda: runs(path).keys() == {job.id for job in jobs[:2]}, service=service)
        began = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - began < 6 + SLACK_SECONDS
    assert saved.read_text() == "saved"
    queued = {job_id.decode() for job_id in redis.lrange("rq:queue:default", 0, -1)}
    assert queued == {job.id for job in jobs}
    assert redis.lindex("rq:queue:default", -1).decode() == jobs[2].id, "what had begun stands before what had not"
    for job in jobs:
        assert redis.hget(job.key, "attempts") is None
        assert redis.hget(job.key, "crashes") is None
    assert redis.hget(jobs[0].key, "handbacks") == b"1"
    claimed_everything_back(redis)


def test_consumers_are_scaled_by_signals(service: Service, redis: redis_py.Redis) -> None:
    until(lambda: redis.scard("rq:workers") == 2, service=service)
    service.signal(signal.SIGTTIN)
    until(lambda: redis.scard("rq:workers") == 3, service=service)
    service.signal(signal.SIGTTOU)
    service.wait_for("service.scaled", consumers=2)  # two equal signals at once may arrive as one
    service.signal(signal.SIGTTOU)
    until(lambda: redis.scard("rq:workers") == 1 and len(service.children()) == 1, service=service)


def test_a_quiet_instance_claims_nothing_until_it_is_resumed(
    service: Service, queue: Queue, redis: redis_py.Redis
) -> None:
    until(lambda: redis.scard("rq:workers") == 2, service=service)
    service.signal(signal.SIGTSTP)
    service.wait_for("service.quiet")
    until(lambda: asks_nothing(redis), service=service)
    job = queue.enqueue(tasks.add, 1, 1)
    time.sleep(1.5)  # nothing to wait for: it must not happen
    assert job.get_status() == "queued"
    service.signal(signal.SIGCONT)
    until(lambda: job.get_status() == "finished", service=service)


def test_a_killed_dispatcher_and_a_killed_health_child_are_replaced(server: RedisServer, queue: Queue) -> None:
    port = free_port()
    with Service(server.url, HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1") as service:
        until(lambda: _get(port, "/readyz") == 200, service=service)
        for role in ("dispatcher", "health"):
            (victim,) = service.children(role)
            os.kill(victim, signal.SIGKILL)
            until(lambda role=role, victim=victim: service.children(role) not in ([], [victim]), service=service)
        until(lambda: _get(port, "/healthz") == 200, service=service)
        job = queue.enqueue(tasks.add, 1, 1)
        until(lambda: job.get_status() == "finished", service=service)


def test_a_busy_health_port_ends_the_service_in_words(server: RedisServer) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Service(server.url, HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1") as service:
            assert service.wait() == 69
            assert "HEALTH_PORT" in service.wait_for("health.cannot_listen")["error"]


def test_a_bad_environment_lists_every_problem_and_has_its_own_exit_code() -> None:
    with Service("http://nope", WORKER_THREADS="many", WORKER_QUEUES="dead-letter") as service:
        assert service.wait() == 78
    told = "\n".join(service.output)
    assert "REDIS_URL" in told
    assert "WORKER_THREADS" in told
    assert "Traceback" not in told


def test_a_job_module_that_cannot_be_imported_ends_the_boot_in_words(server: RedisServer) -> None:
    with Service(server.url, WORKER_JOB_MODULES="tests.support.tasks,no_such_package") as service:
        assert service.wait() == 71
    assert any("no_such_package" in line for line in service.output)


def test_it_starts_without_redis_and_works_as_soon_as_there_is_one(own_server: RedisServer) -> None:
    own_server.kill()
    port = free_port()
    with Service(own_server.url, HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1") as service:
        assert service.wait_for("redis.outage_started")["code"] == "refused"
        until(lambda: _get(port, "/livez") == 200, service=service)
        assert until(lambda: _get(port, "/healthz")) == 503, "a deploy that has never reached Redis must not go live"
        own_server.restart(keep_data=True)
        with own_server.client() as redis:
            job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
            until(lambda: job.get_status() == "finished", service=service)
        until(lambda: _get(port, "/healthz") == 200, service=service)
        own_server.kill()
        until(lambda: _state(port) == "degraded", 60, service=service)
        assert until(lambda: _get(port, "/healthz")) == 200, "restarting would not help"
        assert service.terminate() == 0


def test_a_job_that_ends_while_redis_is_away_is_settled_afterwards_and_runs_once(
    own_server: RedisServer, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(own_server.url) as service, own_server.client() as redis:
        job = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(path), str(gate))
        until(lambda: runs(path)[job.id] == 1, service=service)
        own_server.kill()
        service.wait_for("redis.outage_started")
        gate.touch()
        until(lambda: path.read_text().count("end") == 1, service=service)
        own_server.restart(keep_data=True)
        until(lambda: job.get_status() == "finished", service=service)
    assert runs(path)[job.id] == 1


def test_rqs_own_command_line_can_run_the_consumer(server: RedisServer, redis: redis_py.Redis, queue: Queue) -> None:
    jobs = [queue.enqueue(tasks.add, number, 1) for number in range(5)]
    bad = queue.enqueue(tasks.boom)
    subprocess.run(
        [
            Path(sys.executable).parent / "rq",
            "worker",
            "--burst",
            "-u",
            server.url,
            "-w",
            "worker.consumer.Consumer",
            "high",
            "default",
        ],
        cwd=ROOT,
        env={**os.environ, "WORKER_JOB_MODULES": "tests.support.tasks", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=90,
        capture_output=True,
    )
    assert [job.return_value() for job in jobs] == [1, 2, 3, 4, 5]
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [bad.id.encode()]


def test_a_lone_consumer_stops_in_time_while_redis_is_away(own_server: RedisServer) -> None:
    worker = subprocess.Popen(
        [
            Path(sys.executable).parent / "rq",
            "worker",
            "-u",
            own_server.url,
            "-w",
            "worker.consumer.Consumer",
            "default",
        ],
        cwd=ROOT,
        env={**os.environ, "WORKER_JOB_MODULES": "tests.support.tasks", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with own_server.client() as client:
            until(lambda: client.smembers("rq:workers"))
        own_server.kill()
        assert worker.stdout is not None
        for line in worker.stdout:
            if "redis.outage_started" in line:
                break
        worker.terminate()
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_rqs_stop_job_command_stops_a_job_and_nothing_else(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(server.url, WORKER_THREADS=threads) as service:
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(tmp_path / "never"))
        other = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
        until(lambda: runs(path).keys() == {job.id, other.id}, service=service)
        heard(redis, job)
        send_stop_job_command(redis, job.id)
        until(lambda: job.get_status() == "stopped", service=service)
        assert not service.of("child.killed"), "the exception in the job ended it"
        assert job.id in FailedJobRegistry(queue=queue)
        assert redis.lrange("rq:queue:dead-letter", 0, -1) == [], "stopped on purpose is no dead letter"
        gate.touch()
        until(lambda: other.get_status() == "finished", service=service)
        after = queue.enqueue(tasks.add, 1, 1)
        until(lambda: after.get_status() == "finished", service=service)


def test_a_job_that_ignores_the_stop_command_is_ended_with_its_process(
    service: Service, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.stuck_in_native_code, str(path), job_timeout=300)
    until(lambda: runs(path)[job.id] == 1, service=service)
    heard(redis, job)
    send_stop_job_command(redis, job.id)
    until(lambda: job.get_status() == "stopped", service=service)
    assert service.wait_for("child.killed", reason="ordered")


def test_rqs_kill_horse_command_fails_the_attempt(
    service: Service, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
    until(lambda: runs(path)[job.id] == 1, service=service)
    heard(redis, job)
    send_kill_horse_command(redis, job.worker_name)
    until(lambda: job.get_status() == "failed", service=service)
    assert json.loads(redis.hget(job.key, "dead_letter"))["exception"].endswith("KilledByOrder")
    assert not service.of("child.killed"), "the exception in the job ended it"


def test_rqs_shutdown_command_replaces_the_consumer_after_its_job(
    service: Service, redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path, gate = tmp_path / "journal", tmp_path / "gate"
    job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    until(lambda: runs(path)[job.id] == 1, service=service)
    pid = holder(redis, job)
    heard(redis, job)
    send_shutdown_command(redis, job.worker_name)
    service.wait_for("order.received", command="shutdown")
    gate.touch()
    until(lambda: not processes.is_alive(pid), service=service)
    assert job.get_status() == "finished"
    until(lambda: len(service.children()) == 2, service=service)


def test_commands_are_heard_again_after_an_outage(own_server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Service(own_server.url) as service, own_server.client() as redis:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        own_server.restart(keep_data=True)
        queue = Queue("default", connection=redis)
        job = queue.enqueue(tasks.journal_and_sleep, str(path), 300, job_timeout=600)
        until(lambda: runs(path)[job.id] == 1, service=service)
        heard(redis, job)
        send_stop_job_command(redis, job.id)
        until(lambda: job.get_status() == "stopped", service=service)


def heard(redis: redis_py.Redis, job: Job) -> None:
    """Wait until commands to the job's worker are listened for."""
    job.refresh()
    until(lambda: redis.pubsub_numsub(f"rq:pubsub:{job.worker_name}")[0][1] == 1)


def _get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _state(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return str(json.load(answer)["status"])
    except OSError:
        return ""
