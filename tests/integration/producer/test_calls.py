"""What a producer's options do: many at once, later, after others, once in a while, once for a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from rq.group import Group
from rq.job import Job
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer

from producer import Call, Debounce, InvalidJob, KeyReused, Producer, RateLimit, Refused, Throttle
from tests.support import node, rest_faults, snapshots
from tests.support.node import needs_node
from tests.support.producers import over_rest, over_tcp, rest_environment
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.worker import work
from worker.dispatcher.scheduled_jobs import move_due
from worker.redis.calls import ScriptCalls

ADD = "tests.support.tasks.add"


@pytest.fixture
def producer(server: RedisServer) -> Iterator[Producer]:
    with over_tcp(server) as producer:
        yield producer


@pytest.fixture
def queue(redis: redis_py.Redis) -> Queue:
    return Queue("default", connection=redis, serializer="json")


def fetch(redis: redis_py.Redis, job_id: str) -> Job:
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)


def make_due(redis: redis_py.Redis, job_id: str) -> None:
    """Let a scheduled job's moment come, and the dispatcher look."""
    assert redis.zadd("rq:scheduled:default", {job_id: 1}, xx=True, ch=True) == 1
    move_due(ScriptCalls(redis, "rq"), ["default"])


# -- many at once ------------------------------------------------------------------------------------------------------


def test_a_thousand_jobs_are_one_request_with_one_command_and_run(
    stub: RestStub, redis: redis_py.Redis, queue: Queue
) -> None:
    calls = [Call(ADD, number, 1, job_id=f"job-{number}") for number in range(1000)]
    with over_rest(stub) as producer:
        made = producer.enqueue_many(calls)
        assert (stub.requests, dict(stub.commands)) == (1, {"EVAL": 1})
        assert [(one.id, one.created, one.status) for one in made] == [
            (f"job-{n}", True, "queued") for n in range(1000)
        ]
        assert queue.get_job_ids() == [f"job-{number}" for number in range(1000)]
        again = producer.enqueue_many(calls)
        assert not any(one.created for one in again)
        assert queue.count == 1000
        work(redis)
        assert producer.result("job-999") == 1000


@needs_node
def test_a_thousand_jobs_from_javascript_are_one_request_with_one_command(
    stub: RestStub, queue: Queue, redis: redis_py.Redis
) -> None:
    jobs = [{"function": ADD, "args": [number, 1], "jobId": f"job-{number}"} for number in range(1000)]
    stub.faults.append(rest_faults.drop_answer)
    (answer,) = node.calls(rest_environment(stub), ["enqueueMany", jobs])
    assert (stub.requests, dict(stub.commands)) == (2, {"EVAL": 2}), "the first answer was lost"
    assert [one["id"] for one in answer["value"]] == queue.get_job_ids()


@pytest.mark.parametrize("refused", ["hset", "rpush", "sadd", "zadd", "expire", "hdel", "persist"])
def test_all_jobs_or_none_whatever_the_server_refuses_in_the_middle(
    server: RedisServer, redis: redis_py.Redis, refused: str
) -> None:
    calls = [
        Call(ADD, 1, job_id="ended", rerun_after=0),
        *(Call(ADD, number, job_id=f"job-{number}", ttl=600) for number in range(20)),
        Call(ADD, 1, job_id="later", delay=100, group="mail", idempotency_key="later"),
        Call(ADD, 1, job_id="child", depends_on="later", callback_url="https://me.example/"),
        Call(ADD, 1, rate_limit=RateLimit("shop", 1), queue="high"),
        Call(ADD, 1, debounce=Debounce("cart", 60)),
    ]
    with over_tcp(server) as producer:
        producer.enqueue(ADD, 1, 1, job_id="ended", result_ttl=300)
        work(redis)
        before = plain(redis)
        redis.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", f"-{refused}"])
        with Producer.from_environment({"REDIS_URL": server.url.replace("//", "//narrow:x@")}, seconds=30) as narrow:
            with pytest.raises(Refused):
                narrow.enqueue_many(calls)
        assert snapshots.differences(before, plain(redis)) == {}
        assert all(one.created for one in producer.enqueue_many(calls))
    redis.acl_deluser("narrow")


def plain(redis: redis_py.Redis) -> snapshots.Snapshot:
    """What there is, but for what a run of the ended job has left that a second one overwrites."""
    return {
        at: value
        for at, value in snapshots.take(redis).items()
        if not at[0].startswith(("rq:worker", "rq:execution"))
        and not (at[0] == "rq:job:ended" and at[1] not in ("status", "ended_at"))
    }


# -- later -------------------------------------------------------------------------------------------------------------


def test_a_delayed_job_waits_where_rqs_tools_see_it_and_begins_not_before(
    producer: Producer, redis: redis_py.Redis, queue: Queue
) -> None:
    job = producer.enqueue(ADD, 1, 2, delay=timedelta(seconds=90.5))
    assert job.status == "scheduled"
    registry = ScheduledJobRegistry(queue=queue)
    assert registry.get_job_ids() == [job.id]
    wait = registry.get_scheduled_time(job.id).timestamp() - redis.time()[0]
    assert 30 < wait <= 92
    work(redis)
    assert producer.status(job.id).status == "scheduled"
    make_due(redis, job.id)
    work(redis)
    assert producer.result(job.id) == 3


def test_at_is_a_moment_in_whole_seconds_never_earlier(producer: Producer, redis: redis_py.Redis) -> None:
    for number, at in enumerate((datetime(2100, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), 4102444800.001)):
        producer.enqueue(ADD, 1, 2, at=at, job_id=f"at-{number}")
        assert redis.zscore("rq:scheduled:default", f"at-{number}") == 4102444801
    assert producer.enqueue(ADD, 1, 2, at=5).status == "queued", "a moment that has passed is now"
    with pytest.raises(InvalidJob, match="must have a time zone"):
        producer.enqueue(ADD, 1, 2, at=datetime(2100, 1, 1))  # noqa: DTZ001


# -- after others ------------------------------------------------------------------------------------------------------


def test_jobs_of_one_call_run_after_each_other(producer: Producer, redis: redis_py.Redis, queue: Queue) -> None:
    first, second, last = producer.enqueue_many(
        [
            Call(ADD, 1, 1, job_id="first"),
            Call(ADD, 2, 2, job_id="second", depends_on="first"),
            Call(ADD, 3, 3, job_id="last", depends_on=["first", "second"]),
        ]
    )
    assert (first.status, second.status, last.status) == ("queued", "deferred", "deferred")
    assert sorted(DeferredJobRegistry(queue=queue).get_job_ids()) == ["last", "second"]
    work(redis)
    assert [producer.result(job.id) for job in (first, second, last)] == [2, 4, 6]
    assert producer.enqueue(ADD, 1, 1, depends_on="first").status == "queued"


def test_a_dependency_that_fails_stops_a_job_unless_it_is_allowed(producer: Producer, redis: redis_py.Redis) -> None:
    producer.enqueue_many(
        [
            Call("tests.support.tasks.give_up", job_id="fails"),
            Call(ADD, 1, 1, job_id="stops", depends_on="fails"),
            Call(ADD, 1, 1, job_id="goes-on", depends_on="fails", allow_failure=True),
        ]
    )
    work(redis)
    assert producer.result("goes-on") == 2
    assert producer.status("stops").status == "deferred"
    assert producer.enqueue(ADD, 1, 1, depends_on="fails", allow_failure=True).status == "queued"
    assert producer.enqueue(ADD, 1, 1, depends_on="fails").status == "deferred"


def test_a_group_is_rqs(producer: Producer, redis: redis_py.Redis) -> None:
    made = producer.enqueue_many([Call(ADD, n, 1, group="mail") for n in range(3)])
    group = Group.fetch("mail", connection=redis)
    assert {job.id for job in group.get_jobs()} == {one.id for one in made}


# -- under a rate limit ------------------------------------------------------------------------------------------------


def test_a_rate_limit_lets_so_many_through_and_a_canceled_one_makes_room(
    producer: Producer, redis: redis_py.Redis, queue: Queue
) -> None:
    limit = RateLimit("shop", 2)
    made = producer.enqueue_many([Call(ADD, n, 1, job_id=f"job-{n}", rate_limit=limit) for n in range(5)])
    assert [one.status for one in made] == ["queued"] * 2 + ["rate_limited"] * 3
    assert queue.get_job_ids() == ["job-0", "job-1"]
    assert producer.cancel("job-2") == "canceled"
    assert producer.cancel("job-0") == "canceled"
    assert queue.get_job_ids() == ["job-1", "job-3"]
    work(redis)
    assert [producer.status(f"job-{n}").status for n in range(5)] == [
        "canceled",
        "finished",
        "canceled",
        "finished",
        "finished",
    ]
    assert redis.zcard("rq:rl:shop:allowed") == 0


# -- debounce, throttle, idempotency -----------------------------------------------------------------------------------


def debounced(producer: Producer, value: int, **more: Any) -> str:
    return producer.enqueue(ADD, value, 0, debounce=Debounce("cart-7", 60, **more)).id


def test_the_last_of_many_debounced_calls_wins_and_runs_once(producer: Producer, redis: redis_py.Redis) -> None:
    job = debounced(producer, 1)
    redis.zadd("rq:scheduled:default", {job: redis.time()[0] + 1}, xx=True)
    assert {debounced(producer, value) for value in (2, 3)} == {job}
    assert redis.zscore("rq:scheduled:default", job) > redis.time()[0] + 30, "each call puts it off"
    assert redis.zcard("rq:scheduled:default") == 1
    make_due(redis, job)
    assert debounced(producer, 4) == job, "it waits on its queue still"
    assert redis.llen("rq:queue:default") == 1
    work(redis)
    assert producer.result(job) == 4
    other = debounced(producer, 5)
    assert other != job
    assert producer.status(other).status == "scheduled"
    assert producer.enqueue(ADD, 1, debounce=Debounce("cart-8", 60)).id != other


def test_a_debounced_job_waits_no_longer_than_it_may(producer: Producer, redis: redis_py.Redis) -> None:
    job = debounced(producer, 1, max_wait=90)
    begun = float(redis.hget(f"rq:job:{job}", "debounced_at"))
    redis.hset(f"rq:job:{job}", "debounced_at", str(begun - 60))
    debounced(producer, 2, max_wait=90)
    assert redis.zscore("rq:scheduled:default", job) <= math.ceil(begun + 30)
    redis.hset(f"rq:job:{job}", "debounced_at", str(begun - 600))
    debounced(producer, 3, max_wait=90)
    move_due(ScriptCalls(redis, "rq"), ["default"])
    work(redis)
    assert producer.result(job) == 3


def test_a_debounced_call_that_is_sent_again_does_not_undo_a_later_one(
    stub: RestStub, producer: Producer, redis: redis_py.Redis
) -> None:
    def lose_answer_until_another_has_called(handler: Any, run: Callable[[], None]) -> None:
        rest_faults.drop_answer(handler, run)
        debounced(producer, 2)

    debounced(producer, 0)
    stub.faults.append(lose_answer_until_another_has_called)
    with over_rest(stub) as by_rest:
        job = debounced(by_rest, 1)
    assert stub.requests == 2
    assert fetch(redis, job).args == [2, 0]


def test_a_call_while_a_debounced_job_runs_makes_the_next_one(producer: Producer, redis: redis_py.Redis) -> None:
    job = debounced(producer, 1)
    redis.hset(f"rq:job:{job}", "status", "started")
    assert debounced(producer, 2) != job
    assert debounced(producer, 3) != job
    assert redis.zcard("rq:scheduled:default") == 2


def test_a_throttled_call_is_dropped_within_its_window(producer: Producer, redis: redis_py.Redis) -> None:
    first = producer.enqueue(ADD, 1, 1, throttle=Throttle("mail", 60))
    dropped = producer.enqueue(ADD, 2, 2, throttle=Throttle("mail", 60))
    assert (first.created, dropped.created, dropped.id) == (True, False, first.id)
    work(redis)
    assert producer.enqueue(ADD, 3, 3, throttle=Throttle("mail", 60)).status == "finished"
    redis.delete(f"rq:job:{first.id}")
    assert producer.enqueue(ADD, 3, 3, throttle=Throttle("mail", 60)).status == "expired"
    assert producer.enqueue(ADD, 3, 3, throttle=Throttle("other", 60)).created
    (mark,) = [key for key in redis.keys("rq:mark:*") if redis.hget(key, "id").decode() == first.id]
    assert 0 < redis.ttl(mark) <= 60
    redis.delete(mark)
    assert producer.enqueue(ADD, 4, 4, throttle=Throttle("mail", 60)).created


def test_an_idempotency_key_makes_one_job_and_refuses_other_arguments(
    producer: Producer, redis: redis_py.Redis
) -> None:
    first = producer.enqueue(ADD, 1, kwargs={"right": {"b": 1.0, "a": 2}}, idempotency_key="order-17")
    again = producer.enqueue(ADD, 1.0, kwargs={"right": {"a": 2, "b": 1}}, idempotency_key="order-17")
    assert (again.id, again.created) == (first.id, False)
    with pytest.raises(KeyReused, match="used before with another function or other arguments"):
        producer.enqueue(ADD, 2, kwargs={"right": {"b": 1, "a": 2}}, idempotency_key="order-17")
    with pytest.raises(KeyReused) as caught:
        producer.enqueue_many([Call(ADD, 8, 9), Call("jobs.other", 1, 1, idempotency_key="order-17")])
    assert caught.value.index == 1
    assert redis.llen("rq:queue:default") == 1
    (mark,) = redis.keys("rq:mark:*")
    assert 86000 < redis.ttl(mark) <= 86400
    assert b"order" not in mark


@needs_node
def test_both_languages_share_keys(stub: RestStub, producer: Producer, redis: redis_py.Redis) -> None:
    args = [{"b": 0.5, "a": [None, "ü"], "7": 1, "😀": 1, "\uffff": 2}, 1]
    made = producer.enqueue(ADD, *args, idempotency_key="order-17")
    waiting = debounced(producer, 1)
    throttled = producer.enqueue(ADD, 1, throttle=Throttle("mail", 60))
    answers = node.calls(
        rest_environment(stub),
        ["enqueue", ADD, args, {"idempotencyKey": "order-17"}],
        ["enqueue", ADD, [2], {"idempotencyKey": "order-17"}],
        ["enqueue", ADD, [2, 0], {"debounce": {"key": "cart-7", "seconds": 60}}],
        ["enqueue", ADD, [2], {"throttle": {"key": "mail", "seconds": 60}}],
    )
    assert answers[0]["value"] == {"id": made.id, "created": False, "status": "queued"}
    assert (answers[1]["code"], answers[1]["index"]) == ("key_reused", 0)
    assert answers[2]["value"] == {"id": waiting, "created": False, "status": "scheduled"}
    assert answers[3]["value"]["id"] == throttled.id
    assert fetch(redis, waiting).args == [2, 0]


# -- the trace, and how long it takes ----------------------------------------------------------------------------------


def test_a_trace_goes_with_the_job(producer: Producer, redis: redis_py.Redis) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    producer.enqueue(ADD, 1, 1, job_id="one", meta={"user": 7}, traceparent=parent, tracestate="a=1")
    assert fetch(redis, "one").meta == {"user": 7, "traceparent": parent, "tracestate": "a=1"}


def test_a_thousand_jobs_execute_so_many_commands(server: RedisServer, redis: redis_py.Redis) -> None:
    """Redis does nothing else meanwhile: two commands a job, and two for all."""
    with over_tcp(server) as producer:
        redis.config_resetstat()
        producer.enqueue_many([Call(ADD, number, 1) for number in range(1000)])
        executed = {name.removeprefix("cmdstat_"): row["calls"] for name, row in redis.info("commandstats").items()}
    inner = {name: executed.get(name, 0) for name in ("hmget", "hset", "sadd", "rpush", "time")}
    assert inner == {"hmget": 1000, "hset": 1000, "sadd": 1, "rpush": 1, "time": 0}
