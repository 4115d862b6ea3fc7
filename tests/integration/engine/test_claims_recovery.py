"""Claims that do not end by themselves: handed back, lost with a reply, left by a dead worker; and who is dead."""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Retry, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from tests.support import tasks
from tests.support.engine import (
    LETTERS,
    buried,
    collect,
    desk,
    enqueue,
    everything,
    finished,
    register,
    replay,
    retried,
    script_calls,
    waiting,
)
from worker.engine.claims import Claims
from worker.engine.leases import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, LEASE_SECONDS, heartbeat, orphans
from worker.engine.outcomes import Decider


def fields(redis: redis_py.Redis, job_id: str, *names: str) -> list[bytes | None]:
    found: list[bytes | None] = redis.hmget(f"rq:job:{job_id}", names)
    return found


# -- release -------------------------------------------------------------------------------------------------------


def test_released_claims_are_back_where_they_were_as_if_nothing_had_happened(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c", "d")
    enqueue(redis, "high", "h")
    dates = {name: redis.hget(f"rq:job:{name}", "enqueued_at") for name in "abcdh"}
    before = everything(redis)
    ann = desk(redis)
    claims = ann.settle_and_claim([], 4).claims
    assert ann.release(claims) == []
    for name, date in dates.items():  # but for the beginning of its wait
        assert redis.hget(f"rq:job:{name}", "enqueued_at") >= date
        redis.hset(f"rq:job:{name}", "enqueued_at", date)
    assert everything(redis) == before


def test_a_released_job_stands_before_what_was_enqueued_meanwhile(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b")
    ann = desk(redis)
    claims = ann.settle_and_claim([], 2).claims
    enqueue(redis, "default", "c")
    ann.release(claims)
    assert waiting(redis) == ["a", "b", "c"]


def test_an_interrupted_job_is_handed_back_without_losing_an_attempt(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", retry=Retry(max=3))
    ann = desk(redis)
    for round_ in (1, 2):
        a, b = ann.settle_and_claim([], 2).claims
        ann.release([a, b], interrupted=frozenset({a.execution_id}))
        assert fields(redis, "a", "handbacks", "attempts", "retries_left") == [str(round_).encode(), None, b"3"]
    assert fields(redis, "b", "handbacks") == [None]


def test_a_released_job_goes_to_the_queue_that_it_came_from(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    redis.lmove("rq:queue:default", "rq:queue:high")
    ann = desk(redis)
    ann.release(ann.settle_and_claim([], 1).claims)
    assert (waiting(redis, "high"), waiting(redis)) == (["j"], [])


def test_a_released_job_has_its_ttl_again(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j", ttl=100)
    ann = desk(redis)
    ann.release(ann.settle_and_claim([], 1).claims)
    assert 40 < redis.ttl("rq:job:j") <= 100


def test_what_was_canceled_or_deleted_before_it_began_does_not_come_back(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "canceled", "deleted", "evicted", "rest")
    ann = desk(redis)
    claims = ann.settle_and_claim([], 4).claims
    Job.fetch("canceled", connection=redis).cancel()
    Job.fetch("deleted", connection=redis).delete()
    redis.delete("rq:job:evicted")
    assert sorted(ann.release(claims)) == ["canceled", "deleted"]
    assert waiting(redis) == ["rest"]
    assert fields(redis, "canceled", "status") == [b"canceled"]
    assert redis.keys("rq:execution*") == redis.keys("rq:wip:*") == []


def test_releasing_nothing_asks_nothing(redis: redis_py.Redis) -> None:
    before = redis.info("stats")["total_commands_processed"]
    assert desk(redis).release([]) == []
    assert redis.info("stats")["total_commands_processed"] == before + 1, "only the question itself"


# -- rescue --------------------------------------------------------------------------------------------------------


def test_claims_whose_reply_was_lost_are_released_and_the_others_kept(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c", "d")
    ann = desk(redis)
    held = ann.settle_and_claim([], 1).claims[0]
    ann.settle_and_claim([], 2)  # the reply never came
    left = ann.recover("", [held.execution_id])
    assert (left.released, left.running) == (2, [])
    assert waiting(redis) == ["b", "c", "d"]
    assert ann.extend(held)
    assert fields(redis, "b", "crashes", "suspect", "attempts") == [None, None, None], "nobody is blamed"


@pytest.mark.parametrize("sent", ["claim", "settle"])
def test_a_claim_that_reaches_the_server_after_its_worker_has_recovered_gets_nothing(
    redis: redis_py.Redis, sent: str
) -> None:
    """The reply timed out, the connection was given up; the server, frozen meanwhile, still finds the request in it."""
    enqueue(redis, "default", "a", "b", "c")
    ann = desk(redis)
    held = ann.settle_and_claim([], 1).claims[0]
    late = copy(ann)  # what was sent on the connection that was given up
    ann.recover("", [held.execution_id])
    exchange = late.settle_and_claim([] if sent == "claim" else [finished(held)], 2)
    assert (exchange.claims, exchange.registered, exchange.fenced) == ([], False, [])
    assert waiting(redis) == ["b", "c"], "nobody would have run them: their worker lives and knows nothing of them"
    assert [claim.job_id for claim in ann.settle_and_claim([], 1).claims] == ["b"]


def test_the_record_of_a_worker_that_recovers_without_having_one_does_not_stay(redis: redis_py.Redis) -> None:
    desk(redis).recover("")
    assert 0 < redis.ttl("rq:worker:ann") <= BUSY_TTL_SECONDS


def test_the_running_job_of_a_dead_worker_stays_its_claim_until_it_is_handed_on(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "running", "next")
    dead = desk(redis, "dead")
    running, _ = dead.settle_and_claim([], 2).claims
    left = desk(redis, "dead").rescue(running.execution_id)
    assert left.released == 1
    (claim,) = left.running
    assert (claim.job_id, claim.execution_id, claim.origin) == ("running", running.execution_id, "default")
    assert claim.fields[b"status"] == b"started"
    assert waiting(redis) == ["next"]
    again = desk(redis, "dead").rescue(running.execution_id)
    assert [claim.job_id for claim in again.running] == ["running"], "a rescuer that dies here loses nothing"
    in_its_name = desk(redis, "dead")
    assert in_its_name.settle_and_claim([retried(claim, at_front=True, crashes=1)], 0).fenced == []
    assert waiting(redis) == ["running", "next"]
    assert fields(redis, "running", "crashes", "suspect") == [b"1", None]
    assert redis.keys("rq:execution*") == redis.keys("rq:worker:*") == []


def test_a_single_claim_of_a_worker_that_nobody_saw_die_is_taken_for_the_running_one(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    desk(redis, "dead").settle_and_claim([], 1)
    left = desk(redis, "dead").rescue("?")
    assert (left.released, [claim.job_id for claim in left.running]) == (0, ["j"])


def test_of_several_claims_none_is_blamed_and_all_are_suspect(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c", ttl=100)
    dead = desk(redis, "dead")
    dead.settle_and_claim([], 3)
    enqueue(redis, "default", "d")
    left = desk(redis, "dead").rescue("?")
    assert (left.released, left.running) == (3, [])
    assert waiting(redis) == ["a", "b", "c", "d"]
    assert [bool(fields(redis, job_id, "suspect")[0]) for job_id in "abcd"] == [True] * 3 + [False]
    assert [fields(redis, job_id, "crashes") for job_id in "abcd"] == [[None]] * 4
    assert 40 < redis.ttl("rq:job:a") <= 100
    bob = desk(redis, "bob")
    assert [claim.job_id for claim in bob.settle_and_claim([], 8).claims] == ["a"], "from now on each is claimed alone"


@pytest.mark.parametrize("outcome", [retried, lambda claim: retried(claim, delay=60), buried])
def test_a_suspect_that_lives_to_fail_is_none_any_more(redis: redis_py.Redis, outcome: Any) -> None:
    enqueue(redis, "default", "j")
    redis.hset("rq:job:j", "suspect", 1)
    ann = desk(redis)
    ann.settle_and_claim([outcome(ann.settle_and_claim([], 1).claims[0])], 0)
    assert fields(redis, "j", "suspect") == [None]


def test_a_job_that_ended_its_process_is_claimed_alone_when_it_is_tried_again(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j", "next")
    ann = desk(redis)
    (claim,) = ann.settle_and_claim([], 1).claims
    decider = Decider("ann", LETTERS, max_crashes=3, result_ttl=500, now=lambda: datetime.now(UTC))
    crashed = decider.crash(claim, "killed by signal 9", 5.0)
    assert [claim.job_id for claim in ann.settle_and_claim([crashed], 8).claims] == ["j"]


def test_a_job_without_origin_is_rescued_too(redis: redis_py.Redis) -> None:
    """A producer over REST left it out; RQ's registries are named by it."""
    enqueue(redis, "default", "a", "b")
    redis.hdel("rq:job:a", "origin")
    redis.hdel("rq:job:b", "origin")
    dead = desk(redis, "dead")
    a, _ = dead.settle_and_claim([], 2).claims
    assert a.origin == "default"
    assert heartbeat(dead, ["dead"]) == ["dead"]
    redis.delete("rq:worker:dead")
    assert orphans(script_calls(redis), ["default"]).dead == ["dead"]
    assert desk(redis, "dead").rescue(a.execution_id).released == 1
    assert waiting(redis) == ["b"]


def test_what_is_no_longer_a_claim_is_only_tidied_up(redis: redis_py.Redis) -> None:
    """RQ's cleaning failed one job, another was deleted, a third canceled: the dead worker's notes of them go."""
    enqueue(redis, "default", "failed")
    desk(redis, "dead").settle_and_claim([], 1)
    StartedJobRegistry("default", connection=redis).cleanup(timestamp=redis.time()[0] + LEASE_SECONDS + 1)
    enqueue(redis, "default", "evicted", "canceled")
    desk(redis, "dead").settle_and_claim([], 2)
    redis.delete("rq:job:evicted")
    Job.fetch("canceled", connection=redis).cancel()
    left = desk(redis, "dead").rescue("?")
    assert (left.released, left.running) == (0, [])
    assert waiting(redis) == []
    assert redis.keys("rq:execution*") == redis.keys("rq:worker:*") == []


def test_rescuing_a_worker_that_left_nothing_changes_nothing(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    before = everything(redis)
    assert desk(redis, "nobody").rescue("?").released == 0
    assert everything(redis) == before


# -- orphans -------------------------------------------------------------------------------------------------------


def test_a_worker_is_dead_when_its_record_has_expired(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b")
    enqueue(redis, "high", "h")
    for name in ("alive", "dead", "gone"):
        register(redis, name)
        desk(redis, name).settle_and_claim([], 1)
    redis.delete("rq:worker:dead", "rq:worker:gone")
    assert orphans(script_calls(redis), ["high", "default"]).dead == ["dead", "gone"]
    assert orphans(script_calls(redis), ["default"]).dead in (["dead", "gone"], ["gone", "dead"])
    assert orphans(script_calls(redis), ["other"]).dead == []
    for name in ("dead", "gone"):
        desk(redis, name).rescue("")
    assert orphans(script_calls(redis), ["high", "default"]).dead == []


def test_a_dead_worker_lives_no_longer_for_a_clock_that_was_set_back(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    register(redis, "dead")
    desk(redis, "dead").settle_and_claim([], 1)
    redis.expire("rq:worker:dead", 3600 + BUSY_TTL_SECONDS)
    assert orphans(script_calls(redis), ["default"]).dead == []
    assert 0 < redis.ttl("rq:worker:dead") <= BUSY_TTL_SECONDS


def test_after_a_clock_was_set_forth_nobody_is_taken_for_dead_at_that_look(redis: redis_py.Redis) -> None:
    """It has ended the records of the living."""
    enqueue(redis, "default", "a")
    calls = script_calls(redis)
    assert orphans(calls, ["default"]).living == 0
    desk(redis, "dead").settle_and_claim([], 1)
    redis.delete("rq:worker:dead", *redis.keys("rq:execution:*"))
    calls.clock.hear(calls.clock.now() - 3600, monotonic())
    before = everything(redis)
    found = orphans(calls, ["default"])
    assert (found.living, found.dead, found.abandoned) == (-1, [], [])
    assert everything(redis) == before
    assert calls.clock.set_forth_at > 0
    assert orphans(calls, ["default"]).dead == ["lost"], "the next look is by the new time"


def test_claims_whose_execution_record_has_expired_are_found_under_the_name_lost(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b")
    desk(redis, "dead").settle_and_claim([], 2)
    redis.delete(*redis.keys("rq:execution:*"), *redis.keys("rq:executions:*"), "rq:worker:dead:executions")
    assert orphans(script_calls(redis), ["default"]).dead == ["lost"]
    assert desk(redis, "lost").rescue("?").released == 2
    assert waiting(redis) == ["a", "b"]
    assert redis.keys("rq:wip:*") == redis.keys("rq:worker:*") == []


def test_jobs_that_plain_rq_workers_run_are_left_alone(redis: redis_py.Redis) -> None:
    """Their worker's record is gone as well; but when to give them up is RQ's rule."""
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.add, 1, 1)
    worker = SimpleWorker([queue], connection=redis)
    queue.pop_job_id()
    execution = worker.prepare_execution(job)
    redis.delete(worker.key)
    before = everything(redis)
    assert orphans(script_calls(redis), ["default"]).dead == []
    assert everything(redis) == before
    assert Execution.fetch(execution.id, job.id, redis).worker_name == worker.name


# -- heartbeat -----------------------------------------------------------------------------------------------------


#: What is left of a lease; long enough for a busy machine, shorter than what a heartbeat gives.
AGED_SECONDS = 15


def age(redis: redis_py.Redis, ann: Claims) -> None:
    """Let almost all of the lease pass."""
    for member in redis.smembers("rq:worker:ann:executions"):
        job_id, _, execution = member.decode().partition(":")
        soon = redis.time()[0] + AGED_SECONDS
        redis.zadd("rq:wip:default", {member: soon}, xx=True)
        redis.zadd(f"rq:executions:{job_id}", {execution: soon}, xx=True)
        for key in (f"rq:execution:{member.decode()}", f"rq:executions:{job_id}", "rq:worker:ann"):
            redis.expire(key, AGED_SECONDS)
        redis.hset(f"rq:job:{job_id}", "last_heartbeat", "2020-01-01T00:00:00.000000Z")


def test_a_heartbeat_keeps_a_worker_and_its_claims(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b")
    register(redis, "ann")
    ann = desk(redis)
    a, b = ann.settle_and_claim([], 2).claims
    age(redis, ann)
    assert heartbeat(ann, ["ann"]) == []
    now = redis.time()[0]
    for claim in (a, b):
        member = f"{claim.job_id}:{claim.execution_id}"
        assert LEASE_SECONDS - 60 < redis.zscore("rq:wip:default", member) - now <= LEASE_SECONDS
        assert LEASE_SECONDS - 60 < redis.ttl(f"rq:execution:{member}") <= LEASE_SECONDS
        assert redis.zscore(f"rq:executions:{claim.job_id}", claim.execution_id) - now > LEASE_SECONDS
        assert abs(Job.fetch(claim.job_id, connection=redis).last_heartbeat.timestamp() - now) < 60
        execution = Execution.fetch(claim.execution_id, claim.job_id, redis)
        assert (execution.worker_name, abs(execution.last_heartbeat.timestamp() - now) < 60) == ("ann", True)
    assert AGED_SECONDS < redis.ttl("rq:worker:ann") <= BUSY_TTL_SECONDS
    ann.settle_and_claim([finished(a), finished(b)], 0)
    heartbeat(ann, ["ann"])
    assert BUSY_TTL_SECONDS < redis.ttl("rq:worker:ann") <= IDLE_TTL_SECONDS, "it has nothing to lose any more"


def test_records_that_were_lost_are_made_again(redis: redis_py.Redis) -> None:
    """The server forgot the worker, or was silent until its record had expired. Only absence means death."""
    enqueue(redis, "default", "j")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    redis.delete(f"rq:execution:j:{claim.execution_id}", "rq:executions:j", "rq:worker:ann", "rq:workers")
    register(redis, "bob")
    assert heartbeat(ann, ["ann", "bob"]) == ["ann"]
    assert redis.smembers("rq:workers") == {b"rq:worker:ann", b"rq:worker:bob"}
    assert orphans(script_calls(redis), ["default"]).dead == []
    (execution,) = Job.fetch("j", connection=redis).get_executions()
    assert (execution.id, execution.worker_name) == (claim.execution_id, "ann")
    assert ann.settle_and_claim([finished(claim)], 0).fenced == []


def test_a_heartbeat_revives_no_claim_that_is_lost(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "taken", "deleted")
    ann = desk(redis)
    ann.settle_and_claim([], 2)
    Job.fetch("deleted", connection=redis).delete()
    redis.zremrangebyrank("rq:wip:default", 0, -1)
    redis.sadd("rq:worker:ann:executions", "deleted:w0")
    redis.delete(*redis.keys("rq:execution*"))
    before = everything(redis)
    heartbeat(ann, ["ann"])
    after = everything(redis)
    assert set(after) - set(before) == {"rq:worker:ann", "rq:workers"}
    assert after["rq:job:taken"] == before["rq:job:taken"]


def test_a_job_that_was_canceled_while_it_runs_for_long_keeps_its_execution(redis: redis_py.Redis) -> None:
    """RQ's heartbeats go on too; without, its outcome would be dropped after the lease."""
    enqueue(redis, "default", "j")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    Job.fetch("j", connection=redis).cancel()
    heartbeat(ann, ["ann"])
    assert redis.keys("rq:wip:*") == [], "RQ took the entry away; it stays away"
    redis.expire(f"rq:execution:j:{claim.execution_id}", AGED_SECONDS)
    heartbeat(ann, ["ann"])
    assert redis.ttl(f"rq:execution:j:{claim.execution_id}") > LEASE_SECONDS - 60
    assert redis.keys("rq:wip:*") == []


# -- dead letters of others ----------------------------------------------------------------------------------------


def test_a_job_that_somebody_else_failed_is_collected_once(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom, job_id="j")
    ann = desk(redis)
    assert not collect(ann, LETTERS, "j", {"dead_letter": "{}"}), "it has not failed"
    SimpleWorker([queue], connection=redis).work(burst=True, logging_level="CRITICAL")
    assert collect(ann, LETTERS, "j", {"dead_letter": "{}"})
    assert not collect(ann, LETTERS, "j", {"dead_letter": "{}"})
    assert waiting(redis, LETTERS) == [job.id]


def test_a_replayed_letter_is_off_both_lists_at_once(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    ann = desk(redis)
    ann.settle_and_claim([buried(ann.settle_and_claim([], 1).claims[0])], 0)
    assert replay(ann, "j")
    assert (waiting(redis), waiting(redis, LETTERS)) == (["j"], [])
    assert FailedJobRegistry("default", connection=redis).get_job_ids() == []
    assert redis.ttl("rq:job:j") == -1
    assert not replay(ann, "j")
    assert waiting(redis) == ["j"]
