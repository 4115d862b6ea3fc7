"""The schedule: each line once in the fleet, whatever was missed reported, and visible to RQ's own tools."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, cron_job_registry
from rq.cron import CronJob, CronScheduler, get_cron_job_ids
from rq.job import Job
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.engine import script_calls
from tests.support.schedules import Package
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.worker import consumer
from worker.dispatcher import cron_file
from worker.dispatcher.cron import Cron
from worker.dispatcher.leader import Lead, LeaderOnly, Leadership


def entry(key: str = "line", *, catches_up: bool = True, **line: Any) -> cron_file.Entry:
    return cron_file.Entry(key, CronJob("default", func=tasks.add, args=(1, 2), **line), catches_up)


def instance(redis: redis_py.Redis, *entries: cron_file.Entry, name: str = "ann") -> tuple[Cron, Leadership]:
    leadership = Leadership(script_calls(redis), name)
    return Cron(script_calls(redis), leadership, entries), leadership


def look(redis: redis_py.Redis, *entries: cron_file.Entry, name: str = "ann") -> float:
    """One instance looks at the schedule now; returns what it waits for the next slot."""
    cron, leadership = instance(redis, *entries, name=name)
    lead = leadership.take(cron.name)
    assert isinstance(lead, Lead)
    wait = cron.run(lead)
    leadership.resign()
    return wait


def server_time(redis: redis_py.Redis) -> float:
    seconds, micros = redis.time()
    return seconds + micros / 1e6


def ago(redis: redis_py.Redis, seconds: float, key: str = "line") -> None:
    """Have the line's last slot lie so far back."""
    redis.hset("rq:cron-runs", key, repr(server_time(redis) - seconds))


def queued(redis: redis_py.Redis) -> int:
    return Queue("default", connection=redis).count


def test_an_interval_begins_with_a_run_and_goes_on_from_slot_to_slot(redis: redis_py.Redis) -> None:
    assert 540 < look(redis, entry(interval=600)) <= 600
    assert queued(redis) == 1
    look(redis, entry(interval=600), name="bob")
    assert queued(redis) == 1, "a restart, or another instance, repeats nothing"
    ago(redis, 610)
    assert 540 < look(redis, entry(interval=600)) < 591, "the next slot is counted from the last one, not from now"
    assert queued(redis) == 2


def test_a_cron_expression_waits_for_its_slot(redis: redis_py.Redis) -> None:
    before = server_time(redis)
    wait = look(redis, entry(cron="*/5 * * * *"))
    after = server_time(redis)
    assert 0 < wait <= 300
    assert queued(redis) == 0
    slot = math.ceil((before + wait - 1) / 300) * 300
    assert slot <= after + wait + 1


def test_the_job_is_as_rq_would_have_enqueued_it(redis: redis_py.Redis) -> None:
    line = {"interval": 600, "job_timeout": 77, "result_ttl": 88, "ttl": 999, "failure_ttl": 66, "meta": {"team": "x"}}
    look(redis, entry(**line))
    ours = Queue("default", connection=redis).jobs[0]
    redis.lrem("rq:queue:default", 0, ours.id)
    theirs = CronJob("default", func=tasks.add, args=(1, 2), **line).enqueue(redis)
    left, right = redis.hgetall(ours.key), redis.hgetall(theirs.key)
    assert left.keys() == right.keys()
    dates = {b"created_at", b"enqueued_at"}
    assert {name: left[name] for name in left if name not in dates} == {
        name: right[name] for name in right if name not in dates
    }
    assert 900 < redis.ttl(ours.key) <= 999
    assert redis.sismember("rq:queues", "rq:queue:default")


def test_a_consumer_runs_it(redis: redis_py.Redis) -> None:
    look(redis, entry(interval=600))
    job = Queue("default", connection=redis).jobs[0]
    consumer(redis).work(burst=True)
    assert job.return_value(refresh=True) == 3


@pytest.mark.parametrize(("catches_up", "jobs"), [(True, 1), (False, 0)])
def test_missed_runs_are_made_up_for_once_or_skipped_and_reported(
    redis: redis_py.Redis, catches_up: bool, jobs: int
) -> None:
    ago(redis, 5 * 600 + 300)
    with capture_logs() as told:
        wait = look(redis, entry(interval=600, catches_up=catches_up))
    assert queued(redis) == jobs
    assert 250 < wait <= 300
    (missed,) = [line for line in told if line["event"] == "cron.missed"]
    assert (missed["runs"], missed["caught_up"]) == (5, catches_up)
    look(redis, entry(interval=600, catches_up=catches_up))
    assert queued(redis) == jobs, "once"


def test_a_run_that_is_a_takeover_late_is_not_missed(redis: redis_py.Redis) -> None:
    ago(redis, 630)
    with capture_logs() as told:
        look(redis, entry(interval=600, catches_up=False))
    assert queued(redis) == 1
    assert not [line for line in told if line["event"] == "cron.missed"]


@pytest.mark.parametrize("expression", ["* * * * *", "0 4 * * *", "0 4 1 1 *"])
def test_a_cron_expression_that_was_missed_for_two_years_is_made_up_for_once(
    redis: redis_py.Redis, expression: str
) -> None:
    ago(redis, 2 * 366 * 86_400)
    with capture_logs() as told:
        look(redis, entry(cron=expression))
    assert queued(redis) == 1
    (missed,) = [line for line in told if line["event"] == "cron.missed"]
    assert missed["runs"] >= 1
    last = redis.hget("rq:cron-runs", "line").decode()
    assert float(last.partition("|")[0]) <= server_time(redis)
    look(redis, entry(cron=expression))
    assert queued(redis) == 1


def test_a_leader_that_was_paused_between_reading_and_writing_enqueues_nothing(redis: redis_py.Redis) -> None:
    cron, leadership = instance(redis, entry(interval=600))
    stale = leadership.take(cron.name)
    assert isinstance(stale, Lead)
    redis.delete("rq:leader")  # it lapsed
    look(redis, entry(interval=600), name="bob")
    redis.hset("rq:agenda", cron.name, 0)
    chore = LeaderOnly(leadership, cron)
    leadership.take = lambda _name: stale  # type: ignore[method-assign]  # it wakes here, with what it knew
    with capture_logs() as told:
        chore.run()
    assert "leader.deposed" in [line["event"] for line in told]
    assert queued(redis) == 1


def test_what_was_only_passed_over_is_not_shown_as_a_run(redis: redis_py.Redis) -> None:
    look(redis, entry(cron="0 4 1 1 *"))
    (line,) = CronScheduler.all(redis)[0].get_jobs()
    assert line.latest_enqueue_time is None
    ran = server_time(redis) - 2000
    redis.hset("rq:cron-runs", "skipping", f"{ran!r}|{ran!r}")
    look(redis, entry("skipping", interval=600, catches_up=False))
    (line,) = CronScheduler.all(redis)[0].get_jobs()
    assert line.latest_enqueue_time is not None
    assert abs(line.latest_enqueue_time.timestamp() - ran) < 1
    assert queued(redis) == 0


def test_rqs_own_tools_show_the_schedule_and_its_history(redis: redis_py.Redis) -> None:
    look(redis, entry(interval=600, name="sums"))
    (shown,) = CronScheduler.all(redis)
    (line,) = shown.get_jobs()
    assert (line.name, line.interval, line.queue_name) == ("sums", 600, "default")
    assert line.next_enqueue_time is not None
    assert 540 < (line.next_enqueue_time - datetime.now(UTC)).total_seconds() <= 601
    assert cron_job_registry.get_names(redis) == ["sums"]
    assert get_cron_job_ids("sums", redis) == Queue("default", connection=redis).job_ids


# -- the service -------------------------------------------------------------------------------------------------------


def check(service: Service) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", "check"]
    return subprocess.run(command, check=False, cwd=ROOT, env=service.environ, capture_output=True, text=True)


def test_check_and_the_boot_end_in_the_same_sentence(server: RedisServer, tmp_path: Path) -> None:
    package = Package(tmp_path, "cron.register(work.tick, 'default', cron='61 * * * *')")
    with Service(server.url, **package.environ) as service:
        assert service.wait() == 71
        assert "cron='MINUTE HOUR DAY MONTH WEEKDAY'" in service.wait_for("service.bad_schedule")["error"]
        told = check(service)
    assert told.returncode == 1
    assert "cron='MINUTE HOUR DAY MONTH WEEKDAY'" in told.stderr
    assert "Traceback" not in told.stderr


def ticks(journal: Path) -> list[str]:
    """The ids of the jobs that have run."""
    return [line.split()[0] for line in journal.read_text().splitlines()] if journal.exists() else []


def test_two_instances_run_the_schedule_once_and_it_survives_their_restart(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    package = Package(tmp_path, f"cron.register(work.tick, 'default', args=({str(journal)!r},), interval=1)")
    with Service(server.url, **package.environ) as one, Service(server.url, **package.environ):
        until(lambda: redis.hgetall("rq:agenda"), PATIENCE_SECONDS, service=one)
        until(lambda: len(ticks(journal)) >= 4, PATIENCE_SECONDS, service=one)
        assert one.terminate() == 0
    with Service(server.url, **package.environ) as again:
        count = len(ticks(journal))
        until(lambda: len(ticks(journal)) > count, PATIENCE_SECONDS, service=again)
    # Not when they ran: those that waited for a consumer run together.
    jobs = Job.fetch_many(ticks(journal), connection=redis)
    enqueued = sorted(job.enqueued_at.timestamp() for job in jobs)
    assert len(enqueued) <= enqueued[-1] - enqueued[0] + 2, "never two for one slot"


def test_check_counts_the_lines_and_warns_of_queues_that_nobody_here_reads(server: RedisServer, tmp_path: Path) -> None:
    package = Package(tmp_path, "cron.register(work.tick, 'reports', interval=60)")
    told = check(Service(server.url, **package.environ))
    assert told.returncode == 0, told.stderr
    assert "Schedule: 1 line, good." in told.stdout
    assert "'reports', which is not in WORKER_QUEUES" in told.stdout


# -- the server's clock was set back: the last firing is still to come -------------------------------------------------


@pytest.mark.parametrize("back", [900, 3600, 86_400])
def test_an_interval_goes_on_at_once_after_the_servers_clock_was_set_back(redis: redis_py.Redis, back: int) -> None:
    ago(redis, -back)
    with capture_logs() as told:
        assert 0 < look(redis, entry(interval=600)) <= 600
    assert queued(redis) == 1
    assert [line["name"] for line in told if line["event"] == "cron.clock_set_back"]
    look(redis, entry(interval=600), name="bob")
    assert queued(redis) == 1


def test_a_line_that_fires_often_follows_a_clock_that_was_set_back(redis: redis_py.Redis) -> None:
    ago(redis, -3600)
    assert look(redis, entry(cron="* * * * *")) <= 60


@pytest.mark.parametrize(("back", "follows"), [(3600, False), (5 * 86_400, True)])
def test_a_daily_line_runs_twice_only_for_a_clock_that_was_set_back_by_hours(
    redis: redis_py.Redis, back: int, follows: bool
) -> None:
    ago(redis, -back)
    look(redis, entry(cron="0 3 * * *"))
    written = float(redis.hget("rq:cron-runs", "line").partition(b"|")[0])
    assert (written <= server_time(redis)) is follows
    assert queued(redis) == 0


def test_clocks_that_differ_by_seconds_change_nothing(redis: redis_py.Redis) -> None:
    ago(redis, -10)
    assert look(redis, entry(interval=600)) > 600
    assert queued(redis) == 0
