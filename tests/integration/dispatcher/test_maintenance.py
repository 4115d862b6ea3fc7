"""When RQ's registries are cared for: seldom while nothing happens, soon after a start and a death."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.engine import aged, script_calls
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.worker import consumer
from worker.dispatcher import maintenance
from worker.dispatcher.maintenance import Maintenance
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble


class Clock:
    """A dispatcher's clock, and what it has seen."""

    def __init__(self, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.deaths, self.ended = 1000.0, 2, 0
        monkeypatch.setattr(maintenance, "monotonic", lambda: self.now)
        self.chore = Maintenance(script_calls(redis), lambda: self.deaths, lambda: self.ended)

    def wait(self, seconds: int) -> list[int]:
        """Let time pass as the dispatcher does: it asks what is due, and does it; returns after how many seconds."""
        done = []
        for second in range(1, seconds + 1):
            self.now += 1
            if self.now >= self.chore.due:
                self.chore.run()
                done.append(second)
        return done


@pytest.fixture
def clock(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(redis, monkeypatch)


def test_it_is_done_after_the_start_and_seldom_while_nothing_happens(clock: Clock) -> None:
    assert clock.wait(70 + 2 * 3600) == [70, 70 + 3600, 70 + 7200]


def test_it_is_done_every_ten_minutes_where_jobs_end(clock: Clock) -> None:
    clock.wait(70)
    clock.ended += 1
    assert clock.wait(3600) == [600]
    clock.ended += 1
    assert clock.wait(600) == [1], "the last one is long ago"


def test_it_is_done_after_a_death(clock: Clock) -> None:
    clock.wait(100)
    clock.deaths += 1
    assert clock.wait(600) == [71]


def test_a_death_shortly_before_a_pass_has_one_of_its_own(clock: Clock) -> None:
    clock.wait(65)
    clock.deaths += 1
    assert clock.wait(600) == [5, 71]


def test_a_pass_that_breaks_off_is_taken_anew(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = maintenance.steps, trouble("no_permission", "ZPOPMIN")

    def breaks_off(*_args: object, **_options: object) -> Iterator[None]:
        yield
        raise broken

    monkeypatch.setattr(maintenance, "steps", breaks_off)
    with pytest.raises(RedisTrouble):
        clock.wait(75)
    monkeypatch.setattr(maintenance, "steps", whole)
    assert clock.wait(600) == [1]


def test_many_deaths_do_not_put_it_off(clock: Clock) -> None:
    clock.wait(100)
    done = 0
    for _ in range(710):
        clock.deaths += 1
        done += len(clock.wait(1))
    assert done == 10


# -- the service -------------------------------------------------------------------------------------------------------


def stranded(redis: redis_py.Redis, queue: Queue) -> Job:
    """A job whose parent has ended without telling it."""
    parent = queue.enqueue(tasks.add, 1, 2)
    child = queue.enqueue(tasks.add, 3, 4, depends_on=parent)
    redis.lrem("rq:queue:default", 0, parent.id)
    redis.hset(parent.key, "status", "finished")
    aged(parent)
    return child


def test_a_service_that_starts_finds_what_the_last_one_left(
    server: RedisServer, redis: redis_py.Redis, queue: Queue
) -> None:
    child = stranded(redis, queue)
    modules = "tests.support.tasks,tests.support.impatient"
    with Service(server.url, WORKER_SCHEDULER_INTERVAL="0", WORKER_JOB_MODULES=modules) as service:
        until(lambda: child.get_status() == "finished", service=service)
        assert service.wait_for("job.put_back", job_id=child.id, status="deferred")


def test_a_consumer_without_an_instance_does_it_itself(redis: redis_py.Redis, queue: Queue) -> None:
    child = stranded(redis, queue)
    lone = consumer(redis)
    lone.maintenance_interval = 0.1
    lone.work(max_idle_time=30, max_jobs=1)
    assert child.get_status() == "finished"
