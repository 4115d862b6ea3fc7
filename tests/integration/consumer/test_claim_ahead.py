"""A claim that stands ready on the server until there is a job."""

from __future__ import annotations

import os
import select
import signal
import time

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import desk, finished, register
from tests.support.server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually
from worker.consumer import claim_ahead
from worker.consumer.claim_ahead import BlockingClaim
from worker.engine.claims import Claims
from worker.process.claim_turn import ClaimTurn
from worker.redis.trouble import RedisTrouble


def answered(ahead: BlockingClaim) -> bool:
    ready, _, _ = select.select([ahead.fileno()], [], [], PATIENCE_SECONDS)
    return bool(ready) and ahead.answered()


def ann_of(redis: redis_py.Redis) -> Claims:
    """The claims of a worker that has asked before, so that the server has the scripts."""
    claims = desk(redis, "ann", "default")
    claims.settle_and_claim([], 0)
    return claims


def blocked(redis: redis_py.Redis) -> int:
    return int(redis.info("clients")["blocked_clients"])


def enqueue(redis: redis_py.Redis, *ids: str) -> None:
    for job_id in ids:
        Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id=job_id)


def test_a_job_comes_with_the_answer_and_is_claimed_already(redis: redis_py.Redis) -> None:
    ann = ann_of(redis)
    ahead = BlockingClaim(ann)
    ahead.begin(1, 60)
    eventually(lambda: blocked(redis) == 1)
    assert not select.select([ahead.fileno()], [], [], 0)[0]
    enqueue(redis, "a", "b")
    assert answered(ahead)
    (claim,) = ahead.finish().claims
    assert claim.job_id == "a"
    assert ann.settle_and_claim([finished(claim)], 0).fenced == [], "it is an ordinary claim"
    assert redis.lrange("rq:queue:default", 0, -1) == [b"b"]


def test_what_waits_already_is_claimed_at_once_and_as_much_as_asked(redis: redis_py.Redis) -> None:
    enqueue(redis, "a", "b", "c")
    ahead = BlockingClaim(ann_of(redis))
    ahead.begin(2, 60)
    assert answered(ahead)
    assert [claim.job_id for claim in ahead.finish().claims] == ["a", "b"]


def test_nothing_is_claimed_while_nobody_hears_commands_to_the_worker(redis: redis_py.Redis) -> None:
    ahead = BlockingClaim(ann_of(redis))
    ahead.begin(1, 60, if_heard=True)
    eventually(lambda: blocked(redis) == 1)
    enqueue(redis, "a")
    assert answered(ahead)
    assert ahead.finish().claims == []
    assert ahead.woken
    assert redis.hget("rq:job:a", "status") == b"queued"
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
    with redis.pubsub() as listener:
        listener.subscribe("rq:pubsub:ann")
        eventually(lambda: redis.pubsub_numsub("rq:pubsub:ann")[0][1] == 1)
        ahead.begin(1, 60, if_heard=True)
        assert answered(ahead)
        assert [claim.job_id for claim in ahead.finish().claims] == ["a"]


def test_a_server_that_does_not_tell_whether_they_are_heard_gives_the_job(redis: redis_py.Redis) -> None:
    redis.acl_setuser("limited", enabled=True, nopass=True, categories=["+@all"], commands=["-pubsub"], keys=["*"])
    pool = redis.connection_pool.connection_kwargs
    try:
        with redis_py.Redis(host=pool["host"], port=pool["port"], username="limited", password="x") as limited:
            ahead = BlockingClaim(ann_of(limited))
            enqueue(redis, "a")
            ahead.begin(1, 60, if_heard=True)
            assert answered(ahead)
            assert [claim.job_id for claim in ahead.finish().claims] == ["a"]
    finally:
        redis.acl_deluser("limited")


def test_without_a_job_it_ends_by_itself_and_the_connection_is_good_for_the_next(redis: redis_py.Redis) -> None:
    ann = ann_of(redis)
    ahead = BlockingClaim(ann)
    connections = redis.info("clients")["connected_clients"]
    for _ in range(3):
        ahead.begin(1, 0.1)
        assert answered(ahead)
        assert ahead.finish().claims == []
    assert redis.info("clients")["connected_clients"] <= connections + 1
    assert not ahead.abandon(), "there is nothing to hang up"


def test_a_server_without_the_scripts_answers_with_nothing_and_keeps_the_job(redis: redis_py.Redis) -> None:
    enqueue(redis, "a")
    ann = ann_of(redis)
    redis.script_flush()
    ahead = BlockingClaim(ann)
    ahead.begin(1, 60)
    assert answered(ahead)
    assert ahead.finish().claims == []
    assert [claim.job_id for claim in ann.settle_and_claim([], 1).claims] == ["a"], "what follows brings the scripts"


def test_a_refusal_is_raised_after_both_answers_were_read(redis: redis_py.Redis) -> None:
    redis.set("rq:queue:default", "no list")
    ann = ann_of(redis)
    ahead = BlockingClaim(ann)
    ahead.begin(1, 60)
    assert answered(ahead)
    with pytest.raises(RedisTrouble) as caught:
        ahead.finish()
    assert caught.value.code == "wrong_type"
    redis.delete("rq:queue:default")
    enqueue(redis, "a")
    assert [claim.job_id for claim in ann.settle_and_claim([], 1).claims] == ["a"], (
        "no answer is left on the connection"
    )


def test_what_is_hung_up_takes_nothing(redis: redis_py.Redis) -> None:
    ahead = BlockingClaim(ann_of(redis))
    ahead.begin(1, 60)
    eventually(lambda: blocked(redis) == 1)
    assert ahead.abandon()
    eventually(lambda: blocked(redis) == 0)
    enqueue(redis, "a")
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]


def test_a_claim_that_was_hung_up_while_the_server_stood_still_is_recovered(own_server: RedisServer) -> None:
    """The server runs what it had read before it sees that the connection is gone."""
    with own_server.client() as redis:
        enqueue(redis, "a")
        register(redis, "ann")
        ann = ann_of(redis)
        own_server.freeze()
        ahead = BlockingClaim(ann)
        ahead.begin(1, 60)
        ahead.abandon()
        own_server.thaw()
        ann.recover("")
        time.sleep(0.1)  # for a claim that would still come
        assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
        assert redis.keys("rq:execution:*") == []


def test_an_answer_that_is_long_overdue_means_a_dead_connection(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = BlockingClaim(ann_of(redis))
    ahead.begin(1, 60)
    monkeypatch.setattr(claim_ahead, "LATE_SECONDS", 0.0)
    ahead.check_overdue()  # not before the minute has passed
    monkeypatch.setattr(claim_ahead, "LATE_SECONDS", -60.0)  # as if it had
    with pytest.raises(RedisTrouble):
        ahead.check_overdue()
    ahead.abandon()


def test_only_one_process_keeps_the_watch_and_death_frees_it() -> None:
    lock = ClaimTurn()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"y" if lock.take() else b"n")
        signal.pause()
    try:
        assert os.read(reader, 1) == b"y"
        assert not lock.take()
        os.kill(child, signal.SIGKILL)
    finally:
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    assert lock.take()
    assert lock.take(), "it is ours already"
    assert lock.give_back()
    assert not lock.give_back()
