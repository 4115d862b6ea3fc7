"""Pauses as they are made, shown and ended; what claims make of them is in ``tests/faults/consumer/test_pause.py``."""

from __future__ import annotations

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import desk, register, script_calls
from worker.dispatcher.scheduled_jobs import move_due
from worker.dispatcher.strays import all_strays
from worker.fleet import autoscaler, pauses, reading
from worker.keys import Keys

KEYS = Keys("rq")
ADD = "tests.support.tasks.add"


def fleet(redis: redis_py.Redis) -> reading.Fleet:
    return reading.read(redis, KEYS, ["high", "default"], "dead-letter")


def park(redis: redis_py.Redis, *ids: str) -> None:
    """Claim jobs of a paused function and put them aside, as a consumer does."""
    for job_id in ids:
        Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id=job_id)
    register(redis, "ann")
    ann = desk(redis, "ann", "default")
    claims = ann.settle_and_claim([], len(ids)).claims
    assert ann.park([(claim, ADD) for claim in claims]) == [1] * len(ids)


def test_a_paused_instance_begins_nothing_and_the_others_go_on(redis: redis_py.Redis) -> None:
    said = pauses.pause(redis, KEYS, function="@vm.1", seconds=None, who="ann", reason="it swaps")
    assert said.startswith("The instance vm.1 is paused: it begins no job until 20")
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="a")
    for name in ("vm.1.0", "vm.10.0", "vm.2.0"):
        register(redis, name)
    paused = desk(redis, "vm.1.0", "default").settle_and_claim([], 1)
    assert (paused.claims, paused.paused.closes("default") if paused.paused else None) == ([], True)
    other = desk(redis, "vm.10.0", "default").settle_and_claim([], 1)
    assert [claim.job_id for claim in other.claims] == ["a"]
    assert [(queue.name, queue.paused) for queue in fleet(redis).queues] == [("high", False), ("default", False)]
    (sentence,) = [one for one in fleet(redis).attention() if "The instance" in one]
    assert "The instance vm.1 is paused for" in sentence
    assert "`python -m worker resume --instance vm.1` ends it." in sentence
    for wrong in ({"function": "@"}, {"function": "@vm.1", "queue": "default"}, {"function": "@a b"}):
        with pytest.raises(ValueError, match=r"\.$"):
            pauses.pause(redis, KEYS, seconds=None, who="ann", **wrong)
    assert pauses.resume(redis, KEYS, function="@vm.1", who="ann") == "The instance vm.1 goes on."


def test_paused_work_is_no_reason_to_scale_and_hides_no_other_work(redis: redis_py.Redis) -> None:
    Queue("high", connection=redis).enqueue(tasks.add, 1, 1)
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    pauses.pause(redis, KEYS, queue="high", seconds=None, who="ann")
    facts = autoscaler.facts(fleet(redis), ["high", "default"], 1, 0.0, 0.0)
    assert facts.waiting == 1
    assert not facts.queues_suspended


def test_jobs_that_stand_aside_are_no_strays_and_count_as_waiting_once_they_may_go_on(redis: redis_py.Redis) -> None:
    pauses.pause(redis, KEYS, function=ADD, seconds=None, who="ann")
    park(redis, "a", "b")
    redis.hset("rq:job:a", "enqueued_at", "2020-01-01T00:00:00.000000Z")
    assert list(all_strays(script_calls(redis))) == []
    Queue("default", connection=redis).enqueue(tasks.boom)
    assert {queue.name: queue.waiting for queue in fleet(redis).queues} == {"high": 0, "default": 1}
    assert fleet(redis).pauses[0].parked == 2
    pauses.resume(redis, KEYS, function=ADD, who="ann")
    assert {queue.name: queue.waiting for queue in fleet(redis).queues} == {"high": 0, "default": 3}
    claimed = desk(redis, "ann", "default").settle_and_claim([], 8)
    assert [claim.job_id for claim in claimed.claims][:2] == ["a", "b"], "they go first, in order"
    assert not redis.exists("rq:parked", "rq:paused", KEYS.parked_queue(ADD, "default"))
    assert b"parked" not in redis.hgetall("rq:job:a")


def test_a_dispatcher_lets_go_what_nobody_claims(redis: redis_py.Redis) -> None:
    pauses.pause(redis, KEYS, function=ADD, queue="default", seconds=60, who="ann")
    park(redis, "a")
    moved, due, _ = move_due(script_calls(redis), ["high", "default"])
    assert moved == 0
    assert 55 < due <= 61, "the end of a pause is due as a job is"
    redis.hset("rq:paused", f"{ADD} default", "1000000000 {}")
    move_due(script_calls(redis), ["high"])
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
    assert redis.exists("rq:resumed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "0 {}"),
        (" q", ""),
        (" q", "soon {}"),
        (" q", "-1 {}"),
        (" q", "9" * 400),
        (b"\xff \xfe", b"0 \xff"),
        ("", ""),
    ],
)
def test_what_others_have_written_there_ends_nothing(redis: redis_py.Redis, name: str, value: str) -> None:
    redis.hset("rq:paused", name, value)
    redis.sadd("rq:parked", name, "no-space")
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    register(redis, "ann")
    assert len(desk(redis, "ann", "default").settle_and_claim([], 8).claims) == 1
    fleet(redis).attention()


def test_keys_of_another_type_pause_nothing(redis: redis_py.Redis) -> None:
    for key in ("rq:paused", "rq:parked", "rq:resumed"):
        redis.set(key, "x")
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    register(redis, "ann")
    assert len(desk(redis, "ann", "default").settle_and_claim([], 8).claims) == 1
    assert fleet(redis).pauses == ()
    pauses.pause(redis, KEYS, queue="default", seconds=None, who="ann")
    assert fleet(redis).pauses[0].queue == "default"
