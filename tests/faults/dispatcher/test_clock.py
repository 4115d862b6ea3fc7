"""The server's clock steps by an hour, as after a failover to a machine that is off: nothing stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue, Retry

from tests.support import tasks
from tests.support.clocks import ClockServer, needs_settable_clock
from tests.support.schedules import Package
from tests.support.service import Service, until

pytestmark = [needs_settable_clock, pytest.mark.slow]

HOUR = 3600


@pytest.fixture
def clock_server() -> Iterator[ClockServer]:
    with ClockServer() as server:
        yield server


@pytest.fixture
def redis(clock_server: ClockServer) -> Iterator[redis_py.Redis]:
    with clock_server.client() as client:
        yield client


def schedule(tmp_path: Path) -> tuple[list[Path], dict[str, str]]:
    """Two lines, each with a journal: an interval, and a cron expression that fires every minute."""
    journals = [tmp_path / "interval", tmp_path / "minutes"]
    lines = (
        f"cron.register(work.tick, 'default', args=({str(journals[0])!r},), interval=2)\n"
        f"cron.register(work.tick, 'default', args=({str(journals[1])!r},), cron='* * * * *')\n"
    )
    package = Package(tmp_path, lines)
    return journals, {**package.environ, "WORKER_JOB_MODULES": f"{package.name},tests.support.tasks"}


def lines(journal: Path) -> int:
    return len(journal.read_text().splitlines()) if journal.exists() else 0


@pytest.mark.parametrize(("step", "interval"), [(-HOUR, "1"), (HOUR, "0")])
def test_every_schedule_goes_on_within_a_minute_and_a_running_job_runs_once(
    clock_server: ClockServer, redis: redis_py.Redis, tmp_path: Path, step: int, interval: str
) -> None:
    journals, environ = schedule(tmp_path)
    environ |= {"WORKER_SCHEDULER_INTERVAL": interval}
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(clock_server.url, **environ) as one, Service(clock_server.url, **environ) as two:
        long = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(journal), str(gate))
        until(lambda: tasks.runs(journal)[long.id] == 1 and lines(journals[0]) > 2, service=one)
        again = Queue("default", connection=redis).enqueue(tasks.boom, retry=Retry(max=1, interval=15))
        until(lambda: again.get_status() == "scheduled", service=one)
        clock_server.set_clock(step)
        seen = [lines(each) for each in journals]
        until(lambda: lines(journals[0]) > seen[0] + 2, 60, service=one)
        until(lambda: lines(journals[1]) > seen[1], 125, service=one)  # the next full minute may be a minute away
        for service in (one, two):
            told = service.wait_for("redis.clock_stepped", timeout=60)
            assert abs(told["seconds"] - step) < 2
            assert len(service.of("redis.clock_stepped")) == 1
        until(lambda: again.get_status() == "failed", 60, service=one)
        assert redis.hget(again.key, "attempts") == b"2"
        gate.touch()
        until(lambda: long.get_status() == "finished", service=one)
        assert tasks.runs(journal)[long.id] == 1
        for service in (one, two):
            assert not service.of("job.rescued")
            assert not service.of("claims.rescued")


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_what_an_instance_left_that_died_with_the_step_is_rescued_and_its_lead_taken_over(
    clock_server: ClockServer, redis: redis_py.Redis, tmp_path: Path, step: int
) -> None:
    journals, environ = schedule(tmp_path)
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    with Service(clock_server.url, **environ) as dying:
        job = Queue("default", connection=redis).enqueue(tasks.journal_and_wait, str(journal), str(gate))
        until(lambda: tasks.runs(journal)[job.id] == 1, service=dying)
        with Service(clock_server.url, **{**environ, "WORKER_PROCESSES": "1"}) as living:
            until(lambda: redis.scard("rq:workers") == 3, service=living)
            until(lambda: redis.exists("rq:leader"), service=living)
            dying.kill_tree()
            clock_server.set_clock(step)
            seen = lines(journals[0])
            until(lambda: lines(journals[0]) > seen + 2, 60, service=living)
            until(lambda: tasks.runs(journal)[job.id] == 2, 90, service=living)
            gate.touch()
            until(lambda: job.get_status() == "finished", service=living)
