"""The dispatcher's chores in the real process tree, while processes die, stop and lose their clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue, Repeat
from rq.command import send_stop_job_command
from rq.suspension import resume, suspend

from tests.support import processes, tasks
from tests.support.commands import RQ, rq
from tests.support.schedules import Package
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.waiting import SLACK_SECONDS, eventually


@pytest.fixture(autouse=True)
def count_from_nothing(redis: redis_py.Redis) -> None:
    redis.config_resetstat()


def calls(redis: redis_py.Redis, command: str) -> int:
    """How often the server has run a command in this test, inside scripts or not."""
    return int(redis.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def nobody_looks(redis: redis_py.Redis, command: str, seconds: float) -> bool:
    """Whether the server is not asked once for so long."""
    before = calls(redis, command)
    time.sleep(seconds)
    return calls(redis, command) == before


def test_jobs_in_threads_are_kept_alive_while_their_consumer_waits_for_more(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS="4") as service:
        job = Queue("default", connection=redis).enqueue(tasks.nap_in_steps, 60)
        until(lambda: job.get_status() == "started", service=service)
        claimed_at = redis.hget(job.key, "last_heartbeat")
        until(lambda: redis.hget(job.key, "last_heartbeat") != claimed_at, 15 + SLACK_SECONDS, service=service)
        until(lambda: redis.ttl(f"rq:worker:{redis.hget(job.key, 'worker_name').decode()}") > 20, service=service)


def times(journal: Path) -> list[float]:
    """When each line of the journal was written (Unix time)."""
    return [float(line.split()[-1]) for line in journal.read_text().splitlines()] if journal.exists() else []


def test_our_own_retries_and_repeats_run_in_time_without_anybody_looking(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """RQ's scores are whole seconds, rounded up, so a job may be a second late on top of that."""
    with Service(server.url, WORKER_SCHEDULER_INTERVAL="0") as service:
        queue = Queue("default", connection=redis)
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        queue.enqueue(tasks.journal_twice, str(tmp_path / "policy"), 2.0)
        queue.enqueue(tasks.journal, str(tmp_path / "repeat"), repeat=Repeat(times=1, interval=2))
        for name in ("policy", "repeat"):
            until(lambda name=name: len(times(tmp_path / name)) == 2, 5 + SLACK_SECONDS, what=name, service=service)
            first, second = times(tmp_path / name)
            assert 1.0 < second - first < 5.0 + SLACK_SECONDS, name
        until(lambda: nobody_looks(redis, "zrangebyscore", 3), what="rest while nothing is due", service=service)


def test_a_suspended_queue_with_jobs_does_not_spin_and_a_resume_is_obeyed_within_two_seconds(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with Service(server.url) as service:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        suspend(redis)
        job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
        until(lambda: calls(redis, "blmove") > 8, service=service)  # the waits double up to a second
        before, begun = calls(redis, "blmove"), time.monotonic()
        time.sleep(3)  # the span of the count, at least
        assert calls(redis, "blmove") - before <= time.monotonic() - begun + 1
        assert job.get_status() == "queued"
        resume(redis)
        until(lambda: job.get_status() == "finished", 2 + SLACK_SECONDS, service=service)


# -- scheduled jobs ----------------------------------------------------------------------------------------------------


def put_off(redis: redis_py.Redis, journal: Path, count: int, seconds: float) -> None:
    """Schedule so many jobs for one moment."""
    queue = Queue("default", connection=redis)
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    for _ in range(count):
        queue.enqueue_at(due, tasks.journal, str(journal))


def runs(journal: Path) -> Counter[str]:
    """How often each job ran."""
    return Counter(line.split()[0] for line in journal.read_text().splitlines()) if journal.exists() else Counter()


def test_a_thousand_jobs_due_at_once_run_once_each_on_three_instances(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with ExitStack() as stack:
        fleet = [stack.enter_context(Service(server.url, WORKER_PROCESSES="1")) for _ in range(3)]
        until(lambda: redis.scard("rq:workers") == 3, service=fleet[0])
        put_off(redis, journal, 1000, 3)
        until(lambda: len(runs(journal)) == 1000, 120, service=fleet[0])
        until(lambda: not redis.keys("rq:worker:*:executions"), service=fleet[0])
        assert set(runs(journal).values()) == {1}

        def moved() -> int:
            return sum(event["jobs"] for service in fleet for event in service.of("schedule.moved"))

        eventually(lambda: moved() >= 1000)  # the word about a move comes after the move
        assert moved() == 1000


def test_a_dispatcher_that_is_killed_while_jobs_fall_due_loses_and_doubles_none(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with Service(server.url, WORKER_SCHEDULER_INTERVAL="0") as service:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        for seconds in (1, 2, 3):
            put_off(redis, journal, 100, seconds)
        for _ in range(3):
            os.kill(until(lambda: service.children("dispatcher"), service=service)[0], signal.SIGKILL)
            time.sleep(0.7)  # somewhere between the moments at which jobs fall due
        until(lambda: len(runs(journal)) == 300, 120, service=service)
        assert set(runs(journal).values()) == {1}


def test_after_an_outage_what_fell_due_runs_at_once(own_server: RedisServer, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Service(own_server.url, WORKER_SCHEDULER_INTERVAL="120") as service, own_server.client() as redis:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        put_off(redis, journal, 10, 2)
        own_server.kill()
        time.sleep(3)  # they fall due while the server is away
        own_server.restart(keep_data=True)
        until(lambda: len(runs(journal)) == 10, 60, service=service)  # before the interval would find them


# -- the lead ----------------------------------------------------------------------------------------------------------


def leader_of(redis: redis_py.Redis, fleet: list[Service]) -> tuple[Service, list[Service]]:
    """The instance that leads, and the others."""

    def leaders() -> list[Service]:
        name = (redis.hget("rq:leader", "name") or b"").decode()
        return [service for service in fleet if service.of("leader.elected", leader=name)]  # told after it is so

    (first,) = until(leaders, service=fleet[0])
    return first, [service for service in fleet if service is not first]


def ticking(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A schedule with one line that writes to a journal every second."""
    journal = tmp_path / "journal"
    package = Package(tmp_path, f"cron.register(work.tick, 'default', args=({str(journal)!r},), interval=1)")
    return journal, package.environ


def never_two_for_one_slot(redis: redis_py.Redis, journal: Path) -> bool:
    """By when the jobs were enqueued: when they ran is the consumers' matter, who may be behind."""
    ids = {line.split()[0] for line in journal.read_text().splitlines()}
    came = sorted(redis.hget(f"rq:job:{job_id}", "enqueued_at").decode() for job_id in ids)
    first, last = (datetime.fromisoformat(moment) for moment in (came[0], came[-1]))
    return len(times(journal)) == len(ids) <= (last - first).total_seconds() + 2


def test_a_killed_leader_is_replaced_within_thirty_seconds(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal, environ = ticking(tmp_path)
    with Service(server.url, **environ) as one, Service(server.url, **environ) as two:
        until(lambda: len(times(journal)) > 2, service=one)
        leader, (other,) = leader_of(redis, [one, two])
        leader.kill_tree()
        seen = len(times(journal))
        until(lambda: len(times(journal)) > seen + 1, 30 + SLACK_SECONDS, service=other)
        assert never_two_for_one_slot(redis, journal)


def test_a_leader_that_stops_hands_over_at_once(server: RedisServer, redis: redis_py.Redis, tmp_path: Path) -> None:
    journal, environ = ticking(tmp_path)
    with Service(server.url, **environ) as one, Service(server.url, **environ) as two:
        until(lambda: len(times(journal)) > 2, service=one)
        leader, (other,) = leader_of(redis, [one, two])
        assert leader.terminate() == 0
        assert leader.of("leader.abdicated")
        until(lambda: not redis.exists("rq:leader") or other.of("leader.elected"), 5, service=other)


@pytest.mark.slow
def test_a_leader_that_is_paused_while_another_takes_over_runs_nothing_twice(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal, environ = ticking(tmp_path)
    with Service(server.url, **environ) as one, Service(server.url, **environ) as two:
        until(lambda: len(times(journal)) > 2, service=one)
        leader, (other,) = leader_of(redis, [one, two])
        (dispatcher,) = leader.children("dispatcher")
        os.kill(dispatcher, signal.SIGSTOP)
        other.wait_for("leader.elected", timeout=30 + SLACK_SECONDS)
        seen = len(times(journal))
        until(lambda: len(times(journal)) > seen + 2, service=other)
        os.kill(dispatcher, signal.SIGCONT)
        seen = len(times(journal))
        until(lambda: len(times(journal)) > seen + 3, service=other)
        assert never_two_for_one_slot(redis, journal)
        assert redis.hget("rq:leader", "name").decode() == other.of("leader.elected")[0]["leader"]


# -- clocks, and RQ beside us ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_instance_whose_clock_is_wrong_does_nothing_early_late_or_to_others(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """An hour ahead: by its own clock every lease has ended, every job is due and every line of the schedule too."""
    journal = tmp_path / "journal"
    package = Package(tmp_path, f"cron.register(work.tick, 'default', args=({str(journal)!r},), interval=1800)")
    right = dict(package.environ, WORKER_JOB_MODULES=f"{package.name},tests.support.tasks")
    skewed = Path(__file__).parents[2] / "support" / "skewed"
    wrong = {**right, "PYTHONPATH": f"{skewed}:{right['PYTHONPATH']}", "SKEW_SECONDS": "3600"}
    with Service(server.url, WORKER_PROCESSES="1", **right) as one:
        queue = Queue("default", connection=redis)
        long = queue.enqueue(tasks.nap_in_steps, 45)
        until(lambda: long.get_status() == "started", service=one)
        with Service(server.url, WORKER_PROCESSES="1", **wrong) as two:
            until(lambda: redis.scard("rq:workers") == 2, service=two)
            own = queue.enqueue(tasks.nap_in_steps, 40)  # the other's only consumer is busy
            until(lambda: own.get_status() == "started", service=two)
            due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=600)
            later = queue.enqueue_at(due, tasks.add, 1, 2)
            birth = redis.hget(f"rq:worker:{redis.hget(own.key, 'worker_name').decode()}", "birth").decode()
            assert datetime.fromisoformat(birth) > datetime.now(UTC) + timedelta(minutes=50), "its clock is wrong"
            until(lambda: long.get_status() == own.get_status() == "finished", 180, service=two)
            assert later.get_status() == "scheduled"
            until(lambda: times(journal), service=two)
            assert len(times(journal)) == 1, "the schedule's first run"
            for service in (one, two):
                assert not service.of("job.rescued")
                assert not service.of("claims.rescued")


@pytest.mark.slow
def test_rq_infos_cleaning_never_fails_a_job_that_we_still_run(server: RedisServer, redis: redis_py.Redis) -> None:
    """It fails started jobs whose lease is over; ours are prolonged long before that."""
    with Service(server.url) as service:
        job = Queue("default", connection=redis).enqueue(tasks.nap_in_steps, 18)
        until(lambda: job.get_status() == "started", service=service)
        (member,) = redis.zrange("rq:wip:default", 0, -1)
        redis.zadd("rq:wip:default", {member: redis.time()[0] + 14})  # a lease that ends while the job runs
        until(lambda: redis.zscore("rq:wip:default", member) > redis.time()[0] + 60, 13, service=service)
        while job.get_status() == "started":
            rq("info", url=server.url)
        assert job.get_status() == "finished"


def test_a_job_of_a_plain_rq_worker_is_left_to_rq(server: RedisServer, redis: redis_py.Redis, tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    command = [RQ, "worker", "default", "-u", server.url, "--quiet"]
    plain = subprocess.Popen(command, cwd=ROOT, preexec_fn=processes.belong_to_the_tests)
    try:
        until(lambda: redis.scard("rq:workers") == 1, 60)
        job = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(journal), str(gate))
        until(lambda: tasks.runs(journal)[job.id] == 1)
        looks = calls(redis, "zrange")
        name = redis.hget(job.key, "worker_name").decode()
        with Service(server.url, WORKER_SCHEDULER_INTERVAL="0") as service:
            until(lambda: redis.scard("rq:workers") == 3, service=service)

            def looked() -> bool:
                redis.delete(f"rq:worker:{name}")  # to us it looks dead, at every look
                return calls(redis, "zrange") >= looks + 4

            until(looked, 120, what="looks at both queues: what is scheduled, and half a minute later the claims")
            gate.touch()
            until(lambda: job.get_status() == "finished", service=service)
            assert not service.of("job.rescued")
        assert runs(journal)[job.id] == 2, "its two lines: it ran once"
    finally:
        plain.kill()
        plain.wait()


def test_commands_are_heard_again_when_only_their_connection_was_cut(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with Service(server.url) as service:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        until(lambda: redis.client_kill_filter(_type="pubsub") == 1, service=service)
        job = Queue("default", connection=redis).enqueue(tasks.journal_and_sleep, str(journal), 300, job_timeout=600)
        until(lambda: tasks.runs(journal)[job.id] == 1, service=service)
        name = redis.hget(job.key, "worker_name").decode()
        until(lambda: redis.pubsub_numsub(f"rq:pubsub:{name}")[0][1] == 1, service=service)
        send_stop_job_command(redis, job.id)
        until(lambda: job.get_status() == "stopped", service=service)
        assert not service.of("redis.outage_started"), "a provider that cuts silent connections is no outage"


@pytest.mark.slow
@pytest.mark.parametrize("queues", ["high,default", "default"])
def test_an_instance_that_idles_gives_back_what_another_one_left_within_45_seconds(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path, queues: str
) -> None:
    """Its looks for orphans are rare by then: only the doorbell, or its standing claim, told it that somebody works."""
    journal = tmp_path / "journal"
    environ = {"WORKER_SCHEDULER_INTERVAL": "0", "WORKER_QUEUES": queues}
    with Service(server.url, **environ) as idle:
        # One look at what is scheduled on each queue; 30 s later one at their claims, after which looks are rare.
        until(lambda: calls(redis, "zrange") >= 2 * len(queues.split(",")), 120, service=idle)
        queue = Queue("default", connection=redis)
        with Service(server.url, **environ) as busy:
            until(lambda: redis.scard("rq:workers") == 4, service=busy)
            while True:
                gate = tmp_path / uuid.uuid4().hex
                job = queue.enqueue(tasks.journal_and_wait, str(journal), str(gate))
                until(lambda job=job: tasks.runs(journal)[job.id] == 1, service=busy)
                name = redis.hget(job.key, "worker_name").decode()
                if int(redis.hget(f"rq:worker:{name}", "pid")) in busy.children():
                    break
                gate.touch()
                until(lambda job=job: job.get_status() == "finished", service=idle)
            busy.kill_tree()
            gone_at = time.monotonic()
            until(lambda: tasks.runs(journal)[job.id] == 2, 45 + SLACK_SECONDS, service=idle)
            print(f"recovered after {time.monotonic() - gone_at:.1f} s")
            gate.touch()
            until(lambda: job.get_status() == "finished", service=idle)
