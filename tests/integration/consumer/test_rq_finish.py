"""Jobs that RQ's own code finishes keep what is ours: retry policies, counters, dead letters, prompt settling."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from redis.client import Pipeline
from rq import Callback, Queue, Repeat, Retry
from rq.job import Dependency, Job, JobStatus
from rq.rate_limit import RateLimit
from rq.webhook import Webhook

from tests.support import tasks
from tests.support.engine import desk, rescuer, script_calls
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.shop import Shop, status
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker import sentry
from worker.consumer import rq_finish
from worker.consumer.rq_ending import RqEnding
from worker.consumer.rq_finish import MOST_TRIES
from worker.dispatcher.scheduled_jobs import move_due
from worker.engine.webhooks import Reach
from worker.redis.outage import Outage

LIMIT = RateLimit("shop", 1)


def work(redis: redis_py.Redis, rounds: int = 1) -> None:
    """Work in bursts, with everything that is scheduled made due in between."""
    for _ in range(rounds):
        consumer(redis, WORKER_ALLOW_PRIVATE_ADDRESSES="true").work(burst=True)
        for job_id in redis.zrange("rq:scheduled:default", 0, -1):
            redis.zadd("rq:scheduled:default", {job_id: 0})
        move_due(script_calls(redis), ["default"])


@pytest.mark.parametrize("until", [3, 9])
def test_a_functions_policy_holds_for_a_job_with_callbacks(redis: redis_py.Redis, tmp_path: Path, until: int) -> None:
    path = str(tmp_path / "journal")
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.flaky, path, until, on_failure=Callback(tasks.on_failure))
    work(redis, 4)
    assert [line.split()[1] for line in Path(path).read_text().splitlines()] == ["attempt-1", "attempt-2", "attempt-3"]
    if until == 3:
        assert job.return_value() == 3
        return
    assert (record(redis, job.id)["reason"], record(redis, job.id)["attempts"]) == ("attempts_exhausted", 3)
    assert not redis.hexists(job.key, "retries_left"), "the producer asked for none, so a replay has none to spend"


def test_every_round_of_a_repeated_job_has_its_attempts(redis: redis_py.Redis, tmp_path: Path) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.flaky, str(tmp_path / "journal"), 3, repeat=Repeat(times=1))
    work(redis, 7)
    words = [line.split()[1] for line in (tmp_path / "journal").read_text().splitlines()]
    assert words == ["attempt-1", "attempt-2", "attempt-3"] * 2
    assert job.get_status() == "finished"


def test_a_success_callback_that_raises_is_a_dead_letter_that_people_hear_of(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(sentry, "job_failed", lambda _, **fields: told.append(fields))
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1, on_success=Callback(tasks.raising_callback))
    work(redis)
    assert record(redis, job.id)["exception"] == "LookupError"
    assert [(fields["job_id"], fields["reason"]) for fields in told] == [(job.id, "failed")]


def test_a_success_callback_that_raises_costs_an_attempt_like_any_error(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.raising_callback), retry=Retry(max=2))
    work(redis)
    assert (record(redis, job.id)["reason"], record(redis, job.id)["attempts"]) == ("attempts_exhausted", 3)


# -- burials without an exception in the job ---------------------------------------------------------------------------


def refused(queue: Queue, **options: Any) -> Job:
    return queue.enqueue("os.getcwd", job_id="parent", **options)


def unreadable(queue: Queue, **options: Any) -> Job:
    job = queue.enqueue(tasks.add, 1, 1, job_id="parent", **options)
    queue.connection.hset(job.key, "created_at", "yesterday")
    return job


def garbled(queue: Queue, **options: Any) -> Job:
    job = queue.enqueue(tasks.add, 1, 1, job_id="parent", **options)
    queue.connection.hset(job.key, "data", b"\x80garbage")
    return job


def crasher(queue: Queue, **options: Any) -> Job:
    """A job under which two workers died already; the third is dying now."""
    job = queue.enqueue(tasks.add, 1, 1, job_id="parent", **options)
    queue.connection.hset(job.key, "crashes", 2)
    desk(queue.connection, "dead").settle_and_claim([], 1)
    return job


ROADS = [refused, unreadable, garbled, crasher]


def test_an_id_that_rq_would_not_accept_keeps_nobody_waiting(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    patient = queue.enqueue(tasks.add, 2, 2, depends_on=Dependency("odd.id", allow_failure=True), job_id="patient")
    redis.delete("rq:queue:default")
    redis.sadd("rq:job:odd.id:dependents", "patient")
    redis.sadd("rq:job::patient:dependencies", "odd.id")
    redis.hset("rq:job:patient", "status", "deferred")
    redis.copy(queue.enqueue(tasks.add, 1, 1, job_id="even").key, "rq:job:odd.id")
    redis.lpush("rq:queue:default", "odd.id")
    work(redis)
    assert record(redis, "odd.id")["reason"] == "unreadable_hash"
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [b"odd.id"]
    assert patient.get_status() == "finished"


def bury(redis: redis_py.Redis, road: Any) -> None:
    """Let the consumer, or for a worker of an instance that is gone the dispatcher, bury the job; then work on."""
    if road is crasher:
        assert rescuer(redis, reach=Reach(allow_private=True)).rescue_orphans() == 1
        assert rescuer(redis).rescue_orphans() == 0
    work(redis)


@pytest.mark.parametrize("road", ROADS)
def test_what_waits_for_a_job_that_may_not_run_goes_on(redis: redis_py.Redis, road: Any) -> None:
    queue = Queue("default", connection=redis)
    other = Queue("high", connection=redis)
    other.enqueue(tasks.add, 1, 1, job_id="placeholder")
    redis.delete("rq:queue:high")
    patient = queue.enqueue(tasks.add, 2, 2, depends_on=Dependency("parent", allow_failure=True), job_id="patient")
    strict = queue.enqueue(tasks.add, 3, 3, depends_on="parent", job_id="strict")
    redis.delete("rq:queue:default")
    for child in ("patient", "strict"):
        redis.sadd("rq:job:parent:dependents", child)
        redis.sadd(f"rq:job::{child}:dependencies", "parent")
        redis.zadd("rq:deferred:default", {child: 1})
        redis.hset(f"rq:job:{child}", "status", "deferred")
    road(queue)
    bury(redis, road)
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [b"parent"]
    assert redis.hget("rq:job:parent", "status") == b"failed"
    assert (patient.get_status(), strict.get_status()) == ("finished", "deferred")
    assert redis.keys("rq:wip:*") == redis.keys("rq:execution*") == []


@pytest.mark.parametrize("road", ROADS)
def test_a_job_that_may_not_run_gives_its_slot_back(redis: redis_py.Redis, road: Any) -> None:
    queue = Queue("default", connection=redis)
    road(queue, rate_limit=LIMIT)
    second = queue.enqueue(tasks.add, 1, 1, rate_limit=LIMIT)
    assert second.get_status() == "rate_limited"
    bury(redis, road)
    assert second.get_status() == "finished"
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [b"parent"]


@pytest.mark.parametrize("road", [refused, crasher])
def test_a_job_that_may_not_run_sends_its_webhooks(redis: redis_py.Redis, road: Any) -> None:
    with Shop() as shop:
        shop.routes = {"/failed": status(200)}
        road(Queue("default", connection=redis), webhooks=[Webhook(shop.url("/failed"), "failed", method="POST")])
        bury(redis, road)
        (request,) = shop.requests
    assert json.loads(request.body)["job_id"] == "parent"


# -- promptness --------------------------------------------------------------------------------------------------------


def test_dependents_do_not_wait_for_the_job_behind_their_parent(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    queue.enqueue(tasks.add, 1, 1, job_id="parent")
    queue.enqueue(tasks.look, job_id="next")
    Queue("high", connection=redis).enqueue(tasks.add, 1, 1, depends_on="parent", job_id="child")
    seen = []
    tasks.observer = lambda _: seen.append(redis.hget("rq:job:child", "status"))
    try:
        work(redis)
    finally:
        tasks.observer = None
    assert seen == [b"queued"]


def test_callbacks_do_not_wait_for_the_rest_of_a_batch(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    for _ in range(40):  # short jobs earn a batch
        queue.enqueue(tasks.add, 1, 1)
    queue.enqueue(tasks.add, 1, 1, job_id="parent", on_success=Callback(tasks.on_success))
    queue.enqueue(tasks.look, job_id="next")
    seen = []
    tasks.observer = lambda _: seen.append(redis.get("callback:parent"))
    try:
        work(redis)
    finally:
        tasks.observer = None
    assert seen == [b"2"]


def test_dependents_do_not_wait_for_a_long_job_in_the_batch_of_their_parent(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    for _ in range(40):  # short jobs earn a batch
        queue.enqueue(tasks.add, 1, 1)
    queue.enqueue(tasks.add, 1, 1, job_id="parent")
    queue.enqueue(tasks.look, job_id="long")
    Queue("low", connection=redis).enqueue(tasks.add, 1, 1, depends_on="parent", job_id="child")

    def look(_: redis_py.Redis) -> None:
        eventually(lambda: redis.hget("rq:job:child", "status") == b"queued", what="the child's turn")

    tasks.observer = look
    try:
        work(redis)
    finally:
        tasks.observer = None
    assert redis.hget("rq:job:long", "status") == b"finished"


# -- what a payload may name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["success", "failure", "stopped"])
def test_a_callback_outside_the_job_packages_is_refused_before_the_job_runs(
    redis: redis_py.Redis, tmp_path: Path, which: str
) -> None:
    path = str(tmp_path / "journal")
    job = Queue("default", connection=redis).enqueue(tasks.journal, path)
    redis.hset(job.key, f"{which}_callback_name", "antigravity.fly")
    work(redis)
    assert record(redis, job.id)["reason"] == "refused_function"
    assert "antigravity" in record(redis, job.id)["message"]
    assert not Path(path).exists()


# -- the moment in which RQ fails a job --------------------------------------------------------------------------------


def failing(queue: Queue) -> Job:
    return queue.enqueue(tasks.boom, on_failure=Callback(tasks.on_failure))


def failing_callback(queue: Queue) -> Job:
    return queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.raising_callback))


def last_retry(queue: Queue) -> Job:
    return queue.enqueue(tasks.returns_retry, 1)


FAILURES = [failing, failing_callback, last_retry]


@pytest.mark.parametrize("fail", FAILURES)
def test_there_is_no_moment_between_rqs_failure_and_the_dead_letter(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, fail: Any
) -> None:
    """Webhooks are what RQ's code does next: the letter is there by then, so nobody takes it for a plain worker's."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(Job, "send_webhooks", lambda job, *_, **__: seen.append(record(redis, job.id)))
    job = fail(Queue("default", connection=redis))
    work(redis)
    assert [told["reason"] for told in seen] == ["attempts_exhausted" if fail is last_retry else "failed"]
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]


@pytest.mark.parametrize("fail", FAILURES)
def test_a_failure_that_rq_could_not_write_is_written_again(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, fail: Any
) -> None:
    """RQ logs the error and goes on as if the job had ended."""
    execute, cut = Pipeline.execute, []

    def cutting(pipeline: Pipeline, *args: Any, **options: Any) -> Any:
        failure = ("HSET", job.key, "status", JobStatus.FAILED)
        if not cut and any(command == failure for command, _ in pipeline.command_stack):
            cut.append(job.get_status())
            raise redis_py.ConnectionError("Connection closed by server.")
        return execute(pipeline, *args, **options)

    job = fail(Queue("default", connection=redis))
    monkeypatch.setattr(Pipeline, "execute", cutting)
    work(redis)
    assert cut == ["started"]
    assert job.get_status() == "failed"
    assert record(redis, job.id)["reason"] == ("attempts_exhausted" if fail is last_retry else "failed")
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]
    assert redis.keys("rq:execution:*") == []


def test_a_letter_that_is_refused_in_rqs_transaction_is_written_later(
    server: RedisServer, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis carries out the rest of a transaction: the job is failed, and would be taken for a plain worker's."""

    def refuse_from_now_on(_: Any) -> None:
        redis.execute_command("ACL", "SETUSER", "svc", "-lrem")

    def permit_when_failed() -> None:
        eventually(lambda: job.get_status() == "failed")
        had_letter.append(redis.hexists(job.key, "dead_letter"))
        redis.execute_command("ACL", "SETUSER", "svc", "+lrem")

    had_letter: list[bool] = []
    monkeypatch.setattr(tasks, "observer", refuse_from_now_on)
    job = Queue("default", connection=redis).enqueue(tasks.look, error="boom", rate_limit=LIMIT)
    with server.user("svc", "+@all", "~*", "&*") as url, redis_py.Redis.from_url(url) as client:
        permitting = threading.Thread(target=permit_when_failed)
        permitting.start()
        consumer(client).work(burst=True)
        permitting.join()
    assert had_letter == [False]
    assert record(redis, job.id)["reason"] == "failed"
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]


@pytest.mark.parametrize("again", ["repeated", "returning Retry"])
def test_a_round_that_rq_could_not_write_is_not_counted_twice(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """RQ counts on the object before it writes: a second try must not take another repeat, or another retry."""
    execute, cut = Pipeline.execute, 0

    def cutting(pipeline: Pipeline, *args: Any, **options: Any) -> Any:
        nonlocal cut
        if not cut and any(command[:2] == ("ZADD", "rq:scheduled:default") for command, _ in pipeline.command_stack):
            cut += 1
            raise redis_py.ConnectionError("Connection closed by server.")
        return execute(pipeline, *args, **options)

    queue = Queue("default", connection=redis)
    if again == "repeated":
        job = queue.enqueue(tasks.add, 1, 2, repeat=Repeat(times=2, interval=60))
    else:
        job = queue.enqueue(tasks.returns_retry, 1, 60)
    monkeypatch.setattr(Pipeline, "execute", cutting)
    consumer(redis).work(burst=True)
    assert cut == 1
    assert job.get_status() == "scheduled"
    job.refresh()
    assert (job.repeats_left, job.number_of_retries) == ((1, None) if again == "repeated" else (None, 1))


@pytest.mark.parametrize("how", ["full", "forbidden"])
@pytest.mark.parametrize("raises", [False, True], ids=["its result", "its retry"])
def test_what_the_server_refuses_to_everybody_costs_no_job(
    server: RedisServer, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, how: str, raises: bool
) -> None:
    """However often RQ's code is refused meanwhile: the job has run, and is finished when there is room.

    What a failure's transaction is refused for RQ only logs.
    """
    tries: list[Job] = []
    end = RqEnding.end

    def refuse(_: Any) -> None:
        if how == "full":
            redis.config_set("maxmemory", 1)
        else:
            redis.execute_command("ACL", "SETUSER", "svc", "-hincrby")

    def counting(ending: RqEnding, what: Any) -> None:
        tries.append(what)
        if len(tries) == 2 * MOST_TRIES:
            redis.config_set("maxmemory", 0)
            redis.execute_command("ACL", "SETUSER", "svc", "+hincrby")
        end(ending, what)

    monkeypatch.setattr(RqEnding, "end", counting)
    monkeypatch.setattr(Outage, "delay", lambda _: 0.01)
    monkeypatch.setattr(tasks, "observer", refuse)
    queue = Queue("default", connection=redis)
    if raises:
        job = queue.enqueue(tasks.look, error="boom", rate_limit=LIMIT, retry=Retry(max=1, interval=60))
    else:
        job = queue.enqueue(tasks.look, "seen", repeat=Repeat(times=1, interval=60))
    with server.user("svc", "+@all", "~*", "&*") as url, redis_py.Redis.from_url(url) as client:
        consumer(client).work(burst=True)
    assert len(tries) == 2 * MOST_TRIES
    assert job.get_status() == "scheduled"
    assert redis.llen("rq:queue:dead-letter") == 0


def test_a_callback_that_redis_refuses_again_and_again_fails_its_job(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rq_finish, "MOST_TRIES", 2)  # each further one waits longer
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2, on_success=Callback(tasks.asks_another_redis))
    work(redis)
    assert record(redis, job.id)["reason"] == "failed"
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]
