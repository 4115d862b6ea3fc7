"""Each script on a real server: what a claim is, how its outcomes are written, and that a lost claim writes nothing."""

from __future__ import annotations

import pickle
from base64 import b64encode
from collections.abc import Callable

import pytest
import redis as redis_py
from rq import Queue, Worker
from rq.group import Group
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result

from tests.support import tasks
from tests.support.engine import (
    LETTERS,
    buried,
    collect,
    desk,
    enqueue,
    everything,
    finished,
    lives,
    register,
    replay,
    retried,
    waiting,
)
from worker.dispatcher.scheduled_jobs import move_due
from worker.engine.leases import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, LEASE_SECONDS, heartbeat, orphans
from worker.engine.outcomes import attempt_of, number
from worker.engine.records import Claim, Outcome


def started(redis: redis_py.Redis, queue: str = "default") -> list[str]:
    return StartedJobRegistry(queue, connection=redis).get_job_ids(cleanup=False)


def status(redis: redis_py.Redis, job_id: str) -> str:
    return redis.hget(f"rq:job:{job_id}", "status").decode()


def ids(claims: list[Claim]) -> list[str]:
    return [claim.job_id for claim in claims]


def without(data: dict[str, object], *parts: str) -> dict[str, object]:
    return {key: value for key, value in data.items() if not any(part in key for part in parts)}


# -- claim ---------------------------------------------------------------------------------------------------------


def test_claims_come_in_the_order_of_the_queues_and_of_the_jobs(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "d1", "d2", "d3")
    enqueue(redis, "high", "h1", "h2")
    ann = desk(redis)
    exchange = ann.settle_and_claim([], 4)
    assert ids(exchange.claims) == ["h1", "h2", "d1", "d2"]
    assert [(claim.origin, claim.queue) for claim in exchange.claims] == [("high",) * 2] * 2 + [("default",) * 2] * 2
    assert exchange.left == 1
    assert ids(ann.settle_and_claim([], 4).claims) == ["d3"]
    names = [member.rpartition(b":")[2] for member in redis.zrange("rq:wip:default", 0, -1)]
    assert sorted(names) == names, "executions sort in the order of the claims"


def test_a_claim_carries_the_hash_as_it_was_queued_and_writes_what_rqs_worker_writes(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j", ttl=100)
    queued = redis.hgetall("rq:job:j")
    register(redis, "ann")
    claim = desk(redis).settle_and_claim([], 1).claims[0]
    assert claim.fields == queued
    job = Job.fetch("j", connection=redis)
    assert (job.get_status(), job.worker_name) == ("started", "ann")
    assert job.started_at == job.last_heartbeat
    assert abs(job.started_at.timestamp() - float(redis.time()[0])) < 60
    assert redis.ttl("rq:job:j") == -1, "a job that runs does not expire"
    (execution,) = job.get_executions()
    assert (execution.id, execution.job_id, execution.worker_name) == (claim.execution_id, "j", "ann")
    assert started(redis) == ["j"]
    assert redis.smembers("rq:worker:ann:executions") == {f"j:{claim.execution_id}".encode()}
    lease = redis.zscore("rq:wip:default", f"j:{claim.execution_id}") - redis.time()[0]
    assert LEASE_SECONDS - 60 < lease <= LEASE_SECONDS
    assert LEASE_SECONDS - 60 < redis.ttl(f"rq:execution:j:{claim.execution_id}") <= LEASE_SECONDS
    assert LEASE_SECONDS < redis.ttl("rq:executions:j") <= LEASE_SECONDS + 60


def test_the_record_of_a_worker_lives_as_long_as_its_claims_allow(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    register(redis, "ann")
    ann = desk(redis)
    exchange = ann.settle_and_claim([], 1)
    assert exchange.registered
    assert redis.hget("rq:worker:ann", "state") == b"busy"
    assert 0 < redis.ttl("rq:worker:ann") <= BUSY_TTL_SECONDS
    ann.settle_and_claim([], 1)
    assert redis.ttl("rq:worker:ann") <= BUSY_TTL_SECONDS, "nothing new, but a claim is still out"
    assert redis.hget("rq:worker:ann", "state") == b"busy", "as `rq info` and dashboards show it"
    ann.settle_and_claim([finished(exchange.claims[0])], 1)
    assert redis.hget("rq:worker:ann", "state") == b"idle"
    assert BUSY_TTL_SECONDS < redis.ttl("rq:worker:ann") <= IDLE_TTL_SECONDS


def test_a_worker_without_a_record_is_told_so_and_none_is_made_for_it(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    exchange = desk(redis).settle_and_claim([], 1)
    assert ids(exchange.claims) == ["j"]
    assert not exchange.registered
    assert not redis.exists("rq:worker:ann")


def test_ids_without_a_hash_are_skipped(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "gone-1", "a", "gone-2", "gone-3", "b")
    redis.delete("rq:job:gone-1", "rq:job:gone-2", "rq:job:gone-3")
    assert ids(desk(redis).settle_and_claim([], 2).claims) == ["a", "b"]
    assert waiting(redis) == []
    assert redis.keys("*gone*") == []


def test_a_job_of_another_origin_is_registered_there(redis: redis_py.Redis) -> None:
    """RQ keeps a job in its origin's registries, whatever queue its id stands on."""
    enqueue(redis, "default", "j")
    redis.lmove("rq:queue:default", "rq:queue:high")
    claim = desk(redis).settle_and_claim([], 1).claims[0]
    assert (claim.origin, claim.queue) == ("default", "high")
    assert (started(redis, "default"), started(redis, "high")) == (["j"], [])


def test_suspension_stops_claims_but_not_outcomes(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    redis.set("rq:suspended", 1)
    exchange = ann.settle_and_claim([finished(claim)], 1)
    assert (exchange.suspended, exchange.claims, exchange.fenced) == (True, [], [])
    assert status(redis, "a") == "finished"
    assert waiting(redis) == ["b"]
    redis.delete("rq:suspended")
    assert ids(ann.settle_and_claim([], 1).claims) == ["b"]


def test_wanting_nothing_claims_nothing(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    assert desk(redis).settle_and_claim([], 0).claims == []
    assert waiting(redis) == ["j"]


def test_a_suspect_is_claimed_alone(redis: redis_py.Redis) -> None:
    enqueue(redis, "high", "a", "suspect", "b")
    enqueue(redis, "default", "c")
    redis.hset("rq:job:suspect", "suspect", 1)
    ann = desk(redis)
    assert ids(ann.settle_and_claim([], 8).claims) == ["a"]
    assert waiting(redis, "high") == ["suspect", "b"]
    assert ids(ann.settle_and_claim([], 8).claims) == ["suspect"]
    assert waiting(redis, "high") == ["b"]
    assert ids(ann.settle_and_claim([], 8).claims) == ["b", "c"]


def test_a_suspect_is_not_claimed_by_a_worker_that_runs_other_jobs(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "suspect", "b")
    redis.hset("rq:job:suspect", "suspect", 1)
    ann = desk(redis)
    assert ann.settle_and_claim([], 8, others_running=True).claims == []
    assert waiting(redis) == ["suspect", "b"]
    assert ids(ann.settle_and_claim([], 8).claims) == ["suspect"]


def test_a_replayed_dead_letter_leaves_the_dead_letters_with_its_claim(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    ann = desk(redis)
    ann.settle_and_claim([buried(ann.settle_and_claim([], 1).claims[0], attempts=3, crashes=2, dead_letter="{}")], 0)
    FailedJobRegistry("default", connection=redis).requeue("j")
    assert waiting(redis, LETTERS) == ["j"]
    claim = ann.settle_and_claim([], 1).claims[0]
    assert b"dead_letter" in claim.fields, "who decides about this claim knows that it was replayed"
    assert waiting(redis, LETTERS) == []
    assert redis.hmget("rq:job:j", "dead_letter", "attempts", "crashes") == [None, None, None]


# -- outcomes ------------------------------------------------------------------------------------------------------


def test_a_finished_job_is_where_rq_looks_for_it_and_nothing_else_is_left(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    register(redis, "ann")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    value = b64encode(pickle.dumps(3))
    assert ann.settle_and_claim([finished(claim, value=value)], 0).fenced == []
    job = Job.fetch("j", connection=redis)
    assert (job.get_status(), job.return_value()) == ("finished", 3)
    assert "j" in FinishedJobRegistry("default", connection=redis)
    result = job.latest_result()
    assert result is not None
    assert (result.type, result.worker_name, result.execution_id) == (
        Result.Type.SUCCESSFUL,
        "ann",
        claim.execution_id,
    )
    assert 0.05 < (job.ended_at - job.started_at).total_seconds() < 0.2
    assert result.execution_started_at == job.started_at
    assert {key.decode() for key in redis.scan_iter()} == {
        *("rq:job:j", "rq:results:j", "rq:finished:default", "rq:queues"),
        *("rq:workers", "rq:worker:ann"),
    }
    worker = Worker.find_by_key("rq:worker:ann", connection=redis)
    assert (worker.successful_job_count, worker.failed_job_count) == (1, 0)
    assert 0.05 < worker.total_working_time < 0.2


def test_a_batch_is_settled_and_the_next_one_claimed_in_one_command(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", *[f"j{n}" for n in range(40)])
    ann = desk(redis)
    batch = ann.settle_and_claim([], 16).claims
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    exchange = ann.settle_and_claim([finished(claim) for claim in batch], 16)
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert ids(exchange.claims) == [f"j{n}" for n in range(16, 32)]
    assert exchange.left == 8
    assert {status(redis, claim.job_id) for claim in batch} == {"finished"}
    assert sorted(started(redis)) == sorted(ids(exchange.claims))


@pytest.mark.parametrize(("result_ttl", "left"), [(-1, -1), (60, 60)])
def test_result_ttl_is_the_life_of_hash_and_result(redis: redis_py.Redis, result_ttl: int, left: int) -> None:
    enqueue(redis, "default", "j", ttl=100)
    ann = desk(redis)
    ann.settle_and_claim([finished(ann.settle_and_claim([], 1).claims[0], result_ttl=result_ttl)], 0)
    assert lives(redis, "rq:job:j", left)
    assert lives(redis, "rq:results:j", left)
    score = redis.zscore("rq:finished:default", "j")
    assert score == float("inf") if left < 0 else 0 < score - redis.time()[0] <= 60


@pytest.mark.parametrize("result_ttl", [0, 60])
def test_the_set_of_a_jobs_parents_goes_when_the_job_goes(redis: redis_py.Redis, result_ttl: int) -> None:
    """As in RQ's `Job.cleanup`; without it every job that ever depended on another leaves a key behind for ever."""
    enqueue(redis, "high", "parent")
    enqueue(redis, "default", "child", depends_on="parent", result_ttl=result_ttl)
    redis.sadd("rq:job::child:dependencies", "parent")
    redis.rpush("rq:queue:default", "child")
    ann = desk(redis, "ann", "default")
    ann.settle_and_claim([finished(ann.settle_and_claim([], 1).claims[0], result_ttl=result_ttl)], 0)
    assert lives(redis, "rq:job::child:dependencies", result_ttl or -2)


@pytest.mark.parametrize("failure_ttl", [0, 60, -1])
def test_the_set_of_a_buried_jobs_parents_goes_when_the_job_goes(redis: redis_py.Redis, failure_ttl: int) -> None:
    enqueue(redis, "default", "child")
    redis.sadd("rq:job::child:dependencies", "parent")
    ann = desk(redis, "ann", "default")
    ann.settle_and_claim([buried(ann.settle_and_claim([], 1).claims[0], failure_ttl=failure_ttl)], 0)
    assert lives(redis, "rq:job::child:dependencies", failure_ttl or -2)


def test_a_result_that_is_not_kept_leaves_nothing(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    ann = desk(redis)
    ann.settle_and_claim([finished(ann.settle_and_claim([], 1).claims[0], result_ttl=0)], 0)
    assert redis.keys() == [b"rq:queues"]


@pytest.mark.parametrize(("at_front", "order"), [(False, ["b", "a"]), (True, ["a", "b"])])
def test_a_retry_without_delay_goes_to_the_end_it_asked_for(
    redis: redis_py.Redis, at_front: bool, order: list[str]
) -> None:
    enqueue(redis, "default", "a", "b")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    ann.settle_and_claim([retried(claim, at_front=at_front, attempts=1, last_error="boom")], 0)
    assert waiting(redis) == order
    job = Job.fetch("a", connection=redis)
    assert (job.get_status(), job.worker_name) == ("queued", "ann")
    assert job.ended_at is not None
    assert redis.hmget("rq:job:a", "attempts", "last_error") == [b"1", b"boom"]
    assert redis.keys("rq:execution*") == redis.keys("rq:wip*") == []


@pytest.mark.parametrize("delay", [0.2, 60, 90.7])
def test_a_delayed_retry_is_not_due_before_its_delay_has_passed(redis: redis_py.Redis, delay: float) -> None:
    enqueue(redis, "default", "j", ttl=5000)
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    seconds, micros = redis.time()
    ann.settle_and_claim([retried(claim, delay=delay)], 0)
    score = redis.zscore("rq:scheduled:default", "j")
    assert seconds + micros / 1e6 + delay <= score <= redis.time()[0] + delay + 2
    assert score == int(score), "RQ's scheduled times are whole seconds"
    assert status(redis, "j") == "scheduled"
    assert waiting(redis) == []
    assert 4900 < redis.ttl("rq:job:j") <= 5000, "the ttl counts from the retry, as in RQ"


@pytest.mark.parametrize("failure_ttl", [0, -1, 60])
def test_failure_ttl_is_the_life_of_hash_and_result(redis: redis_py.Redis, failure_ttl: int) -> None:
    enqueue(redis, "default", "j", ttl=100)
    ann = desk(redis)
    ann.settle_and_claim([buried(ann.settle_and_claim([], 1).claims[0], failure_ttl=failure_ttl)], 0)
    if failure_ttl == 0:
        assert redis.keys() == [b"rq:queues"]
        return
    assert lives(redis, "rq:job:j", failure_ttl)
    assert lives(redis, "rq:results:j", failure_ttl)
    score = redis.zscore("rq:failed:default", "j")
    assert score == -1 if failure_ttl < 0 else 0 < score - redis.time()[0] <= 60
    assert waiting(redis, LETTERS) == ["j"]


def test_a_buried_job_is_failed_and_dead_lettered_at_once(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "j")
    register(redis, "ann")
    redis.hset("rq:job:j", "suspect", 1)
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    ann.settle_and_claim([buried(claim, attempts=3, dead_letter='{"reason": "failed"}')], 0)
    job = Job.fetch("j", connection=redis)
    assert (job.get_status(), job.latest_result().exc_string) == ("failed", "Traceback: boom")
    assert "j" in FailedJobRegistry("default", connection=redis)
    assert redis.hmget("rq:job:j", "attempts", "suspect") == [b"3", None]
    assert b"rq:queue:dead-letter" in redis.smembers("rq:queues"), "rq info shows it"
    assert Worker.find_by_key("rq:worker:ann", connection=redis).failed_job_count == 1
    assert redis.keys("rq:execution*") == redis.keys("rq:wip*") == []


def test_nothing_of_a_jobs_bad_past_outlives_its_success(redis: redis_py.Redis) -> None:
    """Its hash lives on (result_ttl, repeats), and its id may be enqueued again: everything begins anew with that."""
    enqueue(redis, "default", "j")
    ann = desk(redis)
    redis.hset("rq:job:j", mapping={"attempts": 2, "crashes": 1, "handbacks": 4, "suspect": 1, "last_error": "boom"})
    ann.settle_and_claim([finished(ann.settle_and_claim([], 1).claims[0])], 0)
    assert redis.hget("rq:job:j", "crashes") == b"1", "people may still see it"
    enqueue(redis, "default", "other", "j")
    other, claim = ann.settle_and_claim([], 8).claims
    assert (other.job_id, claim.job_id) == ("other", "j"), "what it was suspected of is past too"
    assert (attempt_of(claim), number(claim, b"crashes")) == (1, 0)
    left = set(redis.hgetall("rq:job:j")) & {b"attempts", b"crashes", b"handbacks", b"suspect", b"last_error", b"past"}
    assert left == set()


def test_a_job_with_dependents_is_left_to_rq_with_its_claim(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c")
    enqueue(redis, "default", "child-a", depends_on="a")
    enqueue(redis, "default", "child-b", depends_on="b")
    ann = desk(redis)
    a, b, c = ann.settle_and_claim([], 3).claims
    exchange = ann.settle_and_claim([finished(a), buried(b), finished(c)], 0)
    assert sorted(exchange.unsettled) == [a.execution_id, b.execution_id]
    assert (ann.extend(a), ann.extend(b), ann.extend(c)) == (True, True, False)
    assert [status(redis, job_id) for job_id in "abc"] == ["started", "started", "finished"]


def test_a_job_that_leaves_its_group_is_left_to_rq(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    Group.create(redis).enqueue_many(queue, [Queue.prepare_data(tasks.add, (1, 1), job_id="j")])
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    assert ann.settle_and_claim([finished(claim, result_ttl=0, in_group=True)], 0).unsettled == [claim.execution_id]
    assert ann.extend(claim)


def test_a_job_that_was_deleted_while_it_ran_stays_deleted(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c")
    ann = desk(redis)
    a, b, c = ann.settle_and_claim([], 3).claims
    Job.fetch("a", connection=redis).delete()
    Job.fetch("b", connection=redis).delete()
    redis.delete("rq:job:c")  # what eviction would do: RQ's bookkeeping stays
    ann.settle_and_claim([finished(a), buried(b), retried(c)], 0)
    assert redis.keys() == [b"rq:queues"]


OUTCOMES: list[Callable[[Claim], Outcome]] = [finished, retried, lambda claim: retried(claim, delay=60), buried]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finished", "retried", "delayed", "buried"])
@pytest.mark.parametrize("how", ["canceled", "deleted"])
def test_a_job_that_is_canceled_or_deleted_while_it_runs_stays_so(
    redis: redis_py.Redis, how: str, outcome: Callable[[Claim], Outcome]
) -> None:
    """Neither another attempt nor a dead letter: whoever canceled it does not want to see it again."""
    enqueue(redis, "default", "j")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    job = Job.fetch("j", connection=redis)
    job.cancel() if how == "canceled" else job.delete()
    assert not ann.extend(claim)
    assert ann.settle_and_claim([outcome(claim)], 1).fenced == [claim.execution_id]
    assert redis.hget("rq:job:j", "status") == (b"canceled" if how == "canceled" else None)
    assert redis.keys("rq:execution*") == redis.keys(f"rq:queue:{LETTERS}") == []
    assert ann.settle_and_claim([], 1).claims == []


# -- the fence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finished", "retried", "delayed", "buried"])
def test_the_outcome_of_a_lost_claim_is_dropped(redis: redis_py.Redis, outcome: Callable[[Claim], Outcome]) -> None:
    """Ann was taken for dead; Bob has the job now. Nothing that Ann says changes anything but her own leftovers."""
    enqueue(redis, "default", "j")
    register(redis, "ann")
    ann, bob = desk(redis, "ann"), desk(redis, "bob")
    stale = ann.settle_and_claim([], 1).claims[0]
    desk(redis, "ann").rescue("")
    claim = bob.settle_and_claim([], 1).claims[0]
    before = without(everything(redis), "rq:worker:ann")
    assert ann.settle_and_claim([outcome(stale)], 0).fenced == [stale.execution_id]
    assert not ann.extend(stale)
    assert ann.release([stale]) == ["j"]
    assert without(everything(redis), "rq:worker:ann") == before
    assert redis.hget("rq:worker:ann", "successful_job_count") is redis.hget("rq:worker:ann", "failed_job_count")
    assert bob.settle_and_claim([finished(claim)], 0).fenced == []


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finished", "retried", "delayed", "buried"])
def test_an_outcome_that_is_sent_twice_counts_once(redis: redis_py.Redis, outcome: Callable[[Claim], Outcome]) -> None:
    """The reply was lost and the same outcomes go again."""
    enqueue(redis, "default", "j")
    register(redis, "ann")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    assert ann.settle_and_claim([outcome(claim)], 0).fenced == []
    before = without(everything(redis), "rq:worker:ann")
    assert ann.settle_and_claim([outcome(claim)], 0).fenced == [claim.execution_id]
    assert without(everything(redis), "rq:worker:ann") == before
    counts = redis.hmget("rq:worker:ann", "successful_job_count", "failed_job_count")
    assert sorted(int(count or 0) for count in counts) == [0, 1]


@pytest.mark.parametrize("late", ["finished", "retried", "delayed", "buried", "release", "hold"])
def test_a_claim_that_rqs_cleaning_took_away_leaves_no_trace(redis: redis_py.Redis, late: str) -> None:
    """`rq info` after a silence longer than the lease fails the job; whatever its worker says then, its record of the
    execution goes, or the worker would seem to hold a claim for ever."""
    enqueue(redis, "default", "j")
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    StartedJobRegistry("default", connection=redis).cleanup(timestamp=redis.time()[0] + LEASE_SECONDS + 1)
    assert status(redis, "j") == "failed"
    failed = redis.hgetall("rq:job:j")
    if late == "release":
        assert ann.release([claim]) == ["j"]
    elif late == "hold":
        assert not ann.extend(claim)
    else:
        outcome = OUTCOMES[["finished", "retried", "delayed", "buried"].index(late)]
        assert ann.settle_and_claim([outcome(claim)], 0).fenced == [claim.execution_id]
    assert redis.hgetall("rq:job:j") == failed
    assert redis.keys("*execution*") == []


# -- the edge to the server ----------------------------------------------------------------------------------------


def test_a_server_that_lost_the_scripts_is_given_them_again(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", *"abcd")
    ann = desk(redis)
    redis.script_flush()
    a, b, c, d = ann.settle_and_claim([], 4).claims
    redis.script_flush()
    exchange = ann.settle_and_claim([finished(a), retried(b), buried(c)], 0)
    assert (exchange.fenced, exchange.unsettled) == ([], []), "none ran twice"
    assert [status(redis, job_id) for job_id in "abcd"] == ["finished", "queued", "failed", "started"]
    for call in (lambda: ann.extend(d), lambda: ann.release([d]) == [], lambda: heartbeat(ann, ["ann"]) == ["ann"]):
        redis.script_flush()
        assert call()
    redis.script_flush()
    assert ann.recover("").released == 0
    redis.script_flush()
    assert (orphans(ann, ["default"]).dead, move_due(ann, ["default"])[0]) == ([], 0)
    redis.script_flush()
    assert not replay(ann, "nobody")
    redis.script_flush()
    assert not collect(ann, LETTERS, "nobody", {"dead_letter": "{}"})


def test_what_is_settled_stays_settled_where_the_claiming_is_refused(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a", "b", "c")
    ann = desk(redis)
    a, b = ann.settle_and_claim([], 2).claims
    redis.set("rq:queue:high", "not a list")
    reply = ann.settle_and_claim([retried(a, delay=60), finished(b)], 1)
    assert reply.fenced == []
    assert "WRONGTYPE" in reply.problem
    assert ids(reply.claims) == ["c"], "the other queue is claimed from"
    assert ScheduledJobRegistry("default", connection=redis).get_job_ids() == ["a"]
    assert status(redis, "b") == "finished"
