"""One pass over the dead letters keeps their queue in order and in bounds."""

from __future__ import annotations

import pytest
import redis as redis_py

from tests.support.letters import bury, ids, keep_up, record, seed
from tests.support.worker import consumer
from worker.dead_letters import trim
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.trim import Census


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
