"""Jobs that stand in no list although their status promises one: found, told, and put back once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job
from rq.registry import ScheduledJobRegistry
from rq_scheduler import Scheduler
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.engine import QUEUES, desk, everything, rescuer, script_calls
from tests.support.rq_scheduler_jobs import put_off
from tests.support.worker import consumer
from worker.dispatcher.leader import Lead, Leadership, NotLeader
from worker.dispatcher.strays import GRACE_SECONDS, PASS_SECONDS, POSTPONE_SECONDS, StrayChore, all_strays


class Instance:
    """One instance's reconciler, with a clock that can be put forward."""

    def __init__(self, redis: redis_py.Redis, name: str = "ann", *, calm: bool = True) -> None:
        self.leadership = Leadership(script_calls(redis), name)
        self.rescues = 0
        self.calm = calm
        self.chore = StrayChore(script_calls(redis), lambda: self.calm, self._put_back)
        self.later = 0.0

    def step(self) -> float:
        lead = self.leadership.take("reconcile")
        assert isinstance(lead, Lead)
        return self.chore.run(Lead(lead.name, lead.token, lead.server_time + self.later))

    def whole_pass(self) -> None:
        """Look at everything, wait, look again."""
        while (wait := self.step()) < GRACE_SECONDS:
            pass
        if wait < GRACE_SECONDS + 2:
            self.later += wait
            self.step()

    def _put_back(self) -> None:
        self.rescues += 1


def queue(redis: redis_py.Redis) -> Queue:
    return Queue("default", connection=redis)


def popped(redis: redis_py.Redis) -> Job:
    """A worker has popped the id and died."""
    job = queue(redis).enqueue(tasks.add, 1, 2)
    redis.lrem("rq:queue:default", 0, job.id)
    return job


def between_pop_and_start(redis: redis_py.Redis) -> Job:
    """A plain RQ worker has moved the id to its intermediate list and died."""
    job = popped(redis)
    redis.lpush("rq:queue:default:intermediate", job.id)
    return job


def unscheduled(redis: redis_py.Redis) -> Job:
    """Its entry among the scheduled jobs is gone."""
    job = queue(redis).enqueue_in(timedelta(hours=1), tasks.add, 1, 2)
    ScheduledJobRegistry(queue=queue(redis)).remove(job)
    return job


def started_without_claim(redis: redis_py.Redis) -> Job:
    """It says started and nobody holds it."""
    job = popped(redis)
    redis.hset(job.key, mapping={"status": "started", "worker_name": "somebody"})
    return job


BREAKS = [popped, between_pop_and_start, started_without_claim]


@pytest.mark.parametrize("lose", BREAKS)
def test_a_stray_is_put_back_and_runs_once(redis: redis_py.Redis, lose: Callable[[redis_py.Redis], Job]) -> None:
    job = lose(redis)
    instance = Instance(redis)
    with capture_logs() as told:
        instance.whole_pass()
    (event,) = [line for line in told if line["event"] == "job.put_back"]
    assert event["job_id"] == job.id
    assert instance.rescues == 1
    if lose is started_without_claim:
        assert rescuer(redis).rescue_orphans() == 1
        assert redis.hget(job.key, "crashes") == b"1", "the rules of a rescue"
    assert consumer(redis).work(burst=True)
    assert job.return_value(refresh=True) == 3
    assert redis.keys("rq:queue:*") == []
    assert list(all_strays(script_calls(redis))) == []


def test_a_scheduled_job_that_nobody_known_keeps_is_named_and_never_run(redis: redis_py.Redis) -> None:
    job = unscheduled(redis)
    instance = Instance(redis)
    before = everything(redis)
    with capture_logs() as told:
        instance.whole_pass()
    (event,) = [line for line in told if line["event"] in ("job.put_back", "jobs.left_alone")]
    assert (event["event"], event["job_ids"]) == ("jobs.left_alone", [job.id])
    assert instance.rescues == 0
    assert everything(redis)[job.key] == before[job.key]
    assert queue(redis).count == 0


@pytest.mark.parametrize("lose", BREAKS)
def test_what_moves_between_the_two_looks_is_left_alone(
    redis: redis_py.Redis, lose: Callable[[redis_py.Redis], Job]
) -> None:
    job = lose(redis)
    instance = Instance(redis)
    assert GRACE_SECONDS < instance.step() < GRACE_SECONDS + 2
    redis.hset(job.key, "enqueued_at", "2030-01-01T00:00:00.000000Z")  # a producer that was slow, or another repair
    instance.later = GRACE_SECONDS + 1
    before = everything(redis)
    instance.step()
    assert {key: value for key, value in everything(redis).items() if ":job:" in key or ":queue:" in key} == {
        key: value for key, value in before.items() if ":job:" in key or ":queue:" in key
    }


def test_nothing_is_done_at_the_first_sight_or_before_the_grace_is_over(redis: redis_py.Redis) -> None:
    popped(redis)
    instance = Instance(redis)
    instance.step()
    instance.later = 30
    assert instance.step() > GRACE_SECONDS - 40
    assert queue(redis).count == 0


def test_two_instances_put_a_job_back_once(redis: redis_py.Redis) -> None:
    job = popped(redis)
    one, other = Instance(redis), Instance(redis, "bob")
    for instance in (one, other):
        instance.step()
        instance.later = GRACE_SECONDS + 1
        instance.leadership.resign()
    for instance in (one, other):
        instance.step()
        instance.leadership.resign()
    assert queue(redis).job_ids == [job.id]


def test_a_leader_that_lost_the_lead_puts_nothing_back(redis: redis_py.Redis) -> None:
    popped(redis)
    instance = Instance(redis)
    instance.step()
    stale = instance.leadership.take("reconcile")
    assert isinstance(stale, Lead)
    redis.delete("rq:leader")
    with pytest.raises(NotLeader):
        instance.chore.run(Lead(stale.name, stale.token, stale.server_time + GRACE_SECONDS + 1))
    assert queue(redis).count == 0


def test_whatever_is_where_it_should_be_is_no_stray(redis: redis_py.Redis) -> None:
    default = queue(redis)
    for _ in range(5):
        default.enqueue(tasks.add, 1, 2)
    front = default.enqueue(tasks.add, 1, 2, at_front=True)  # now the others are older than the head
    default.enqueue_in(timedelta(hours=1), tasks.add, 1, 2)
    waits = default.enqueue(tasks.add, 1, 2, depends_on=front)
    claim = desk(redis, "ann", *QUEUES).settle_and_claim([], 1).claims[0]
    rq_running = default.enqueue(tasks.add, 1, 2)
    redis.lrem(default.key, 0, rq_running.id)
    with redis.pipeline() as pipeline:
        rq_running.prepare_for_execution("plain", pipeline)
        pipeline.zadd("rq:wip:default", {f"{rq_running.id}:feed": 1})
        pipeline.execute()
    failed = default.enqueue(tasks.boom)
    consumer(redis).work(burst=True)
    found = [job.get_status() for job in (Job.fetch(claim.job_id, connection=redis), waits, rq_running, failed)]
    assert found == ["started", "deferred", "started", "failed"]
    assert list(all_strays(script_calls(redis))) == []


def test_a_look_changes_nothing(redis: redis_py.Redis) -> None:
    for lose in (*BREAKS, unscheduled):
        lose(redis)
    before = everything(redis)
    assert sorted(stray.status for stray in all_strays(script_calls(redis))) == [
        "queued",
        "queued",
        "scheduled",
        "started",
    ]
    assert everything(redis) == before


def test_a_pass_waits_for_a_calm_moment_but_not_for_ever(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = Instance(redis, calm=False)
    assert instance.step() == POSTPONE_SECONDS
    monkeypatch.setattr("worker.dispatcher.strays.MOST_POSTPONED_SECONDS", 0.0)
    assert instance.step() > PASS_SECONDS / 2


def test_thousands_of_jobs_are_looked_at_in_bounded_steps(redis: redis_py.Redis) -> None:
    default = queue(redis)
    default.enqueue_many([Queue.prepare_data(tasks.add, (1, 1)) for _ in range(6000)])
    lost = default.job_ids[0]
    redis.lrem(default.key, 1, lost)
    instance = Instance(redis)
    steps = 1
    while instance.step() < 1:
        steps += 1
    assert steps >= 2
    instance.later = GRACE_SECONDS + 1
    instance.step()
    assert default.job_ids[0] == lost, "at the head: its turn had come"
    assert default.count == 6000


def test_jobs_of_rq_scheduler_are_no_strays_and_are_never_run_early(redis: redis_py.Redis) -> None:
    jobs = put_off(redis)
    assert list(all_strays(script_calls(redis))) == []
    Instance(redis).whole_pass()
    assert {job.get_status(refresh=True) for job in jobs} == {"scheduled"}
    assert queue(redis).count == 0
    scheduler = Scheduler(connection=redis)
    scheduler.change_execution_time(jobs[0], datetime.now(UTC) - timedelta(seconds=1))
    scheduler.enqueue_jobs()
    assert consumer(redis).work(burst=True)
    assert jobs[0].return_value(refresh=True) == 3
    assert jobs[1].get_status(refresh=True) == "scheduled"
