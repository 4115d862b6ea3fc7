"""What the dispatcher does for dead letters: collects what others failed, keeps the queue in order and in bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.timeouts import JobTimeoutException

from tests.support import tasks
from tests.support.engine import script_calls
from tests.support.letters import actions, box, bury, ids, payloads, record, seed
from tests.support.worker import consumer
from worker.dead_letters import collect as letter_collecting
from worker.dead_letters import trim
from worker.dead_letters.collect import Collect
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.trim import Census, Trim
from worker.dispatcher.dead_letters import DeadLetterChore, dead_letter_chore
from worker.dispatcher.leader import Leadership
from worker.process.scoreboard import Scoreboard
from worker.settings.load import load

MONTH = 30 * 86400


def collect(redis: redis_py.Redis, *queues: str) -> None:
    """Do one pass over the registries."""
    for _ in Collect(script_calls(redis), box(redis), payloads(), queues or ("high", "default"), "abc123").steps():
        pass


def keep_up(redis: redis_py.Redis, max_age: int = MONTH, max_jobs: int = 10_000, **listeners: Any) -> None:
    """Do one pass over the queue."""
    for _ in Trim(actions(redis, "bounds"), max_age, max_jobs, **listeners).steps():
        pass


def fail_with_plain_rq(redis: redis_py.Redis, function: Any = tasks.boom, *args: Any, **options: Any) -> Job:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(function, *args, **options)
    SimpleWorker([queue], connection=redis).work(burst=True)
    assert job.get_status() == "failed"
    return job


# -- collecting ------------------------------------------------------------------------------------------------------


def test_a_failure_of_a_plain_worker_gets_the_record_that_ours_would_have_written(redis: redis_py.Redis) -> None:
    ours, theirs = bury(redis, tasks.boom, "no such page"), fail_with_plain_rq(redis, tasks.boom, "no such page")
    collect(redis)
    assert ids(redis) == [ours.id, theirs.id]
    mine, found = record(redis, ours.id), record(redis, theirs.id)
    alike = ("exception", "message", "fingerprint", "function", "queue", "attempts")
    assert {name: found[name] for name in alike} == {name: mine[name] for name in alike}
    assert (found["reason"], found["release"]) == ("failed_elsewhere", "abc123")
    assert found["traceback"].endswith("ValueError: no such page")
    assert theirs.get_meta(refresh=True)["dead_letter"] == found
    collect(redis)
    assert ids(redis) == [ours.id, theirs.id], "it is collected once"


def timed_out() -> None:
    raise JobTimeoutException("Task exceeded maximum timeout value (1 seconds)")


def test_a_timeout_under_a_plain_worker_is_named_as_such(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis, "tests.integration.dead_letters.test_trim.timed_out")
    collect(redis)
    assert record(redis, job.id)["reason"] == "timeout"


def test_what_was_stopped_by_order_is_no_dead_letter(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis)
    redis.hset(job.key, "status", "stopped")
    collect(redis)
    assert ids(redis) == []


def test_a_hash_that_cannot_be_read_is_collected_all_the_same(redis: redis_py.Redis) -> None:
    job = fail_with_plain_rq(redis)
    redis.hset(job.key, "created_at", "yesterday")
    collect(redis)
    assert ids(redis) == [job.id]
    assert record(redis, job.id)["exception"] == "ValueError"


def test_a_letter_that_rq_requeued_and_a_plain_worker_failed_again_has_the_new_record(redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.boom, "first")
    job.requeue()
    redis.hset(job.key, "data", Job.create(tasks.give_up, connection=redis).to_dict()["data"])
    queue = Queue("default", connection=redis)
    SimpleWorker([queue], connection=redis).work(burst=True)
    collect(redis)
    assert ids(redis) == [job.id], "there once"
    told = record(redis, job.id)
    assert told["exception"] == "worker.retry.PermanentError"
    assert [entry["message"] for entry in told["history"]] == ["first"]


def test_entries_whose_job_is_gone_leave_the_registry(redis: redis_py.Redis) -> None:
    kept, gone = bury(redis), bury(redis)
    redis.delete(gone.key)
    collect(redis)
    assert FailedJobRegistry("default", connection=redis).get_job_ids(cleanup=False) == [kept.id]


def test_a_pass_takes_small_steps(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_collecting, "PAGE", 4)
    monkeypatch.setattr(letter_collecting, "BATCH", 3)
    seed(redis, 11)
    redis.delete("rq:queue:dead-letter")
    for number in range(11):
        redis.hdel(f"rq:job:letter-{number}", "dead_letter", "buried_at")
    collect(redis, "default")
    assert sorted(ids(redis)) == sorted(f"letter-{number}" for number in range(11))


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_the_oldest_go_when_there_are_too_many(redis: redis_py.Redis) -> None:
    seed(redis, 250)
    keep_up(redis, max_jobs=40)
    assert ids(redis) == [f"letter-{number}" for number in range(210, 250)]
    assert redis.zcard("rq:failed:default") == 40
    assert len(redis.keys("rq:job:*")) == len(redis.keys("rq:results:*")) == 40
    lines = redis.xrange("rq:dead-letter:audit")
    assert sum(int(values[b"count"]) for _, values in lines) == 210
    assert {values[b"action"] for _, values in lines} == {b"trim by count"}


def test_what_is_too_old_goes(redis: redis_py.Redis) -> None:
    seed(redis, 10, step_seconds=3600)
    keep_up(redis, max_age=int(4.5 * 3600))
    assert ids(redis) == [f"letter-{number}" for number in range(6, 10)]


def test_a_pass_over_many_pages_sees_each_letter_once(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trim, "PAGE", 7)
    seed(redis, 60, kinds=3)
    for number in (0, 6, 7, 33, 59):
        redis.delete(f"rq:job:letter-{number}")
    seen: list[DeadLetter] = []
    told: list[Census] = []
    keep_up(redis, max_jobs=50, on_letter=lambda letter, _now: seen.append(letter), on_census=told.append)
    wanted = [f"letter-{number}" for number in range(60) if number not in (0, 6, 7, 33, 59)][5:]
    assert ids(redis) == wanted
    assert len({letter.job_id for letter in seen}) == len(seen) == 55
    assert told[0].letters == 50
    assert told[0].kinds == {("default", "failed"): 50}
    assert 0 < told[0].oldest <= told[0].now


class Counted:
    """A part of the chore that counts its passes; each takes two steps."""

    passes = 0

    def steps(self) -> Iterator[None]:
        yield
        self.passes += 1
        yield


def chore(redis: redis_py.Redis, part: Counted, name: str) -> DeadLetterChore:
    """Return the chore of one instance's dispatcher, with its real eyes and the real lead."""
    settings = load({"WORKER_QUEUES": "high,default"}, need_redis_url=False)
    calls = script_calls(redis)
    made = dead_letter_chore(settings, calls, payloads(), Leadership(calls, name), Scoreboard(1).dead_letters, name)
    made._parts = [part]
    return made


def turn(made: DeadLetterChore) -> None:
    """Run the chore until it has nothing more to do now."""
    made.run()
    while made._pass is not None:
        made.run()


def test_a_pass_is_made_when_something_has_changed_and_only_then(redis: redis_py.Redis) -> None:
    part = Counted()
    made = chore(redis, part, "ann")
    turn(made)
    turn(made)
    assert part.passes == 1, "the first is made whatever there is"
    for change in (
        lambda: seed(redis, 3),
        lambda: redis.zadd("rq:failed:high", {"j": 5}),
        lambda: redis.lpop("rq:queue:dead-letter"),
        lambda: redis.zadd("rq:failed:high", {"j": 6}),
    ):
        change()
        redis.delete("rq:agenda")  # what time does
        turn(made)
        turn(made)
    assert part.passes == 5


def test_one_instance_makes_the_pass_for_all(redis: redis_py.Redis) -> None:
    part = Counted()
    ann, bob = chore(redis, part, "ann"), chore(redis, part, "bob")
    ann.run()
    turn(bob)
    assert part.passes == 0, "Ann is at it"
    turn(ann)
    turn(bob)
    assert part.passes == 1, "it is done for a while"
    redis.delete("rq:agenda", "rq:leader")
    turn(bob)
    assert part.passes == 2, "Bob has seen no pass of his own yet, and nobody leads"


# -- what RQ's own means leave behind --------------------------------------------------------------------------------


def test_ids_of_jobs_that_were_deleted_or_requeued_with_rq_leave_the_queue(redis: redis_py.Redis) -> None:
    deleted, requeued, kept = bury(redis), bury(redis), bury(redis)
    deleted.delete()
    requeued.requeue()
    keep_up(redis)
    assert ids(redis) == [kept.id]
    consumer(redis).work(burst=True)
    assert ids(redis) == [kept.id, requeued.id], "it failed again and is there once"
    assert len(record(redis, requeued.id)["history"]) == 1
    assert record(redis, requeued.id)["attempts"] == 1, "its counters began anew"


def test_a_job_whose_id_is_used_again_is_there_once(redis: redis_py.Redis) -> None:
    bury(redis, job_id="nightly").delete()
    bury(redis, job_id="nightly")
    assert ids(redis) == ["nightly"]
