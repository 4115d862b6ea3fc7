"""What people do to jobs and queues from the pages: it happens once, is in the audit, and is said in words."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job
from rq.registry import CanceledJobRegistry

from tests.support import tasks
from tests.support.engine import desk, register
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.worker import SETTINGS, work
from worker.console.actions import ActionRefused, jobs, queues
from worker.dead_letters import changes
from worker.dead_letters.queue import DeadLetterQueue
from worker.fleet import pauses
from worker.keys import Keys
from worker.settings import Settings
from worker.settings.load import load

KEYS = Keys("rq")
WHO = "operator@console"


@pytest.fixture
def settings() -> Settings:
    return load(SETTINGS, need_redis_url=False)


def audit(redis: redis_py.Redis) -> list[tuple[str, str, str]]:
    lines = changes.audit(DeadLetterQueue(redis, "rq", "dead-letter"), 100)
    return [(line["action"], line["who"], line["ids"]) for line in reversed(lines)]


def test_what_has_ended_runs_again_once(redis: redis_py.Redis, queue: Queue, settings: Settings) -> None:
    done, failed = queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.boom)
    later = queue.enqueue_in(timedelta(hours=1), tasks.add, 3, 4)
    work(redis)
    for job, said in (
        (done, "is on its queue again, with all of its attempts."),
        (failed, "is on its queue again, with all of its attempts."),
        (later, "goes to its queue now."),
    ):
        assert jobs.run_again(redis, KEYS, settings, job.id, who=WHO) == f"The job {job.id} {said}"
        with pytest.raises(ActionRefused, match="is queued"):
            jobs.run_again(redis, KEYS, settings, job.id, who=WHO)
    assert queue.job_ids == [done.id, failed.id, later.id]
    assert redis.llen("rq:queue:dead-letter") == 0
    work(redis)
    assert [job.get_status(refresh=True) for job in (done, failed, later)] == ["finished", "failed", "finished"]
    assert len(done.results()) == 2
    assert audit(redis) == [("run-again", WHO, done.id), ("replay", WHO, failed.id), ("run-again", WHO, later.id)]


def test_what_waits_is_canceled_and_may_come_back(redis: redis_py.Redis, queue: Queue, settings: Settings) -> None:
    waits, later = queue.enqueue(tasks.add, 1, 2), queue.enqueue_in(timedelta(hours=1), tasks.add, 3, 4)
    child = queue.enqueue(tasks.add, 5, 6, depends_on=[waits])
    assert jobs.cancel(redis, KEYS, settings, waits.id, who=WHO) == (
        f"The job {waits.id} is canceled: it will not run. 1 job that depends on it goes on waiting."
    )
    jobs.cancel(redis, KEYS, settings, later.id, who=WHO)
    jobs.cancel(redis, KEYS, settings, child.id, who=WHO)
    assert jobs.cancel(redis, KEYS, settings, waits.id, who=WHO).endswith("was canceled before.")
    assert queue.count == 0
    assert set(CanceledJobRegistry("default", connection=redis).get_job_ids()) == {waits.id, later.id, child.id}
    assert [action for action, _, _ in audit(redis)] == ["cancel"] * 3
    jobs.run_again(redis, KEYS, settings, waits.id, who=WHO)
    work(redis)
    assert waits.get_status(refresh=True) == "finished"


def test_a_canceled_job_that_was_put_aside_does_not_run(
    redis: redis_py.Redis, queue: Queue, settings: Settings
) -> None:
    pauses.pause(redis, KEYS, function="tests.support.tasks.add", seconds=None, who="ann")
    job, other = queue.enqueue(tasks.add, 1, 1), queue.enqueue(tasks.add, 2, 2)
    register(redis, "ann")
    ann = desk(redis, "ann", "default")
    ann.park([(claim, "tests.support.tasks.add") for claim in ann.settle_and_claim([], 2).claims])
    for one in (job, other):
        jobs.cancel(redis, KEYS, settings, one.id, who=WHO)
    jobs.run_again(redis, KEYS, settings, other.id, who=WHO)
    pauses.resume(redis, KEYS, who="ann")
    work(redis)
    assert (job.get_status(refresh=True), other.get_status(refresh=True)) == ("canceled", "finished")
    assert len(other.results()) == 1


def test_what_cannot_be_done_is_said(redis: redis_py.Redis, queue: Queue, settings: Settings, tmp_path: Path) -> None:
    register(redis, "ann")
    running = queue.enqueue(tasks.add, 1, 1)
    desk(redis, "ann", "default").settle_and_claim([], 1)
    gone = queue.enqueue(tasks.add, 1, 1, job_id="gone")
    redis.hset("rq:job:gone", "status", "finished")
    redis.hdel("rq:job:gone", "data")
    redis.set("rq:job:string", "x")
    trap = tmp_path / "sprung"
    redis.hset("rq:job:trap", mapping={"status": "queued", "origin": "default", "data": pickle.dumps(Trap(str(trap)))})
    for act, job_id, why in (
        (jobs.run_again, running.id, "is started"),
        (jobs.run_again, gone.id, "payload of the job gone is gone"),
        (jobs.run_again, "no \udcff such", "There is no job"),
        (jobs.cancel, running.id, "runs: stop it instead"),
        (jobs.cancel, gone.id, "is finished"),
        (jobs.cancel, "string", "There is no job"),
        (jobs.run_again, "trap", "is queued"),
    ):
        with pytest.raises(ActionRefused, match=why):
            act(redis, KEYS, settings, job_id, who=WHO)
    with pytest.raises(ActionRefused, match="is finished"):
        jobs.stop(redis, KEYS, gone.id, who=WHO)
    with pytest.raises(ActionRefused, match="does not listen"):
        jobs.stop(redis, KEYS, running.id, who=WHO, wait=0.2)
    assert [action for action, _, _ in audit(redis)] == ["stop"]
    assert jobs.cancel(redis, KEYS, settings, "trap", who=WHO).endswith("it will not run.")
    assert not trap.exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


def test_a_running_job_is_stopped(server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Service(server.url) as service:
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(tmp_path / "never"), job_timeout=300)
        until(lambda: job.id in tasks.runs(path), service=service)
        assert jobs.stop(redis, KEYS, job.id, who=WHO, wait=30) == f"The job {job.id} stopped."


def test_a_queue_is_emptied_as_far_as_it_was_seen(redis: redis_py.Redis, queue: Queue, settings: Settings) -> None:
    first = [queue.enqueue(tasks.add, number, 1).id for number in range(600)]
    runs, twice = Job.fetch(first[3], connection=redis), first[5]
    redis.hset(f"rq:job:{runs.id}", "status", "started")
    expected = queues.count(redis, KEYS, "default")
    late = queue.enqueue(tasks.add, 1, 1)
    told = queues.empty(redis, KEYS, settings, "default", expected, who=WHO)
    assert told == "600 jobs of the queue 'default' deleted. 1 job stands there now; the same again goes on."
    assert queue.job_ids == [late.id]
    assert not redis.exists(f"rq:job:{twice}")
    assert redis.exists(f"rq:job:{runs.id}")
    assert audit(redis) == [("empty", WHO, "")]
    queues.empty(redis, KEYS, settings, "default", 5, who=WHO)
    for queue_name, why in (("default", "is empty"), ("dead-letter", "discard them"), ("no \udcff such", "is empty")):
        with pytest.raises(ActionRefused, match=why):
            queues.empty(redis, KEYS, settings, queue_name, 5, who=WHO)
    redis.set("rq:queue:odd", "x")
    assert queues.count(redis, KEYS, "odd") == 0
