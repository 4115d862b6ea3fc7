"""The Python producer, over REST and over TCP, with RQ's own worker and ours at the other end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Retry, SimpleWorker
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit
from rq.registry import CanceledJobRegistry, FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer

import producer as package
from producer import Call, InvalidJob, JobFailed, NoSuchJob, NotFinished, Producer
from tests.support import snapshots, tasks
from tests.support.producers import over_rest, over_tcp, rest_environment, work_by_rq
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.worker import work

ADD = "tests.support.tasks.add"
LETTERS = "dead-letter"


@pytest.fixture(params=["rest", "tcp"])
def producer(request: pytest.FixtureRequest, server: RedisServer, stub: RestStub) -> Iterator[Producer]:
    with over_rest(stub) if request.param == "rest" else over_tcp(server) as producer:
        yield producer


WORKERS = pytest.mark.parametrize("work", [work_by_rq, work])


def fetch(redis: redis_py.Redis, job_id: str) -> Job:
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)


def unpacked(seen: snapshots.Snapshot) -> snapshots.Snapshot:
    """The payload as JSON: RQ compresses it, and over REST nobody can."""

    def value(at: tuple[str, str], content: Any) -> Any:
        if at[1] in ("retry_intervals", "dependency_ids"):
            return json.loads(content)
        if at[1] == "description":
            return content.partition("(")[0]  # RQ shows arguments as Python writes them, a producer as JSON
        if at[1] != "data":
            return content
        return json.loads(content if content[:1] == b"[" else zlib.decompress(content))

    return {at: value(at, content) for at, content in seen.items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timeout": 9, "result_ttl": 7, "failure_ttl": 8, "meta": {"a": 1}, "description": "two numbers"},
        {"retry": package.Retry(3, [10, 60]), "ttl": 60},
        {"retry": 2},
        {"at_front": True},
        {"result_ttl": 0},
        {"queue": "high"},
    ],
)
def test_it_writes_key_by_key_what_rqs_own_enqueue_writes(
    producer: Producer, redis: redis_py.Redis, options: dict[str, Any]
) -> None:
    theirs = {name: value for name, value in options.items() if name not in ("queue", "timeout")}
    if (retry := theirs.get("retry")) is not None:
        theirs["retry"] = Retry(retry) if isinstance(retry, int) else Retry(retry.max, list(retry.interval))
    queue = Queue(options.get("queue", "default"), connection=redis, serializer="json")
    queue.enqueue(ADD, 1, right={"ä": [None, "x" * 100]}, job_id="job", job_timeout=options.get("timeout"), **theirs)
    by_rq = unpacked(snapshots.take(redis))
    redis.flushall()
    producer.enqueue(ADD, 1, kwargs={"right": {"ä": [None, "x" * 100]}}, job_id="job", **options)
    assert snapshots.differences(by_rq, unpacked(snapshots.take(redis))) == {}


def by_rq(queue: Queue, kind: str) -> None:
    """Let RQ's own queue enqueue what `by_producer` does."""
    add: dict[str, Any] = {"args": [1, 2], "job_id": "job"}
    if kind == "delay":
        queue.enqueue_in(timedelta(seconds=100), ADD, 1, 2, job_id="job")
    elif kind == "at, at the front":
        queue.enqueue_at(datetime(2100, 1, 1, tzinfo=UTC), ADD, 1, 2, job_id="job", at_front=True)
    elif kind == "group":
        data = Queue.prepare_data(ADD, **add)
        Group.create(connection=queue.connection, name="mail").enqueue_many(queue, [data])
    elif kind.startswith("depends"):
        queue.enqueue(ADD, 1, 2, job_id="one")
        queue.enqueue(ADD, 1, 2, job_id="two")
        wanted = Dependency(["one", "two"], allow_failure="failure" in kind)
        queue.enqueue(ADD, **add, depends_on=wanted)
    else:
        for number in range(2):
            limited = {"rate_limit": RateLimit("shop", 1), "at_front": "front" in kind}
            queue.enqueue(ADD, 1, 2, job_id=f"job{number}", **limited)


def by_producer(producer: Producer, kind: str) -> None:
    add: dict[str, Any] = {"job_id": "job"}
    if kind == "delay":
        producer.enqueue(ADD, 1, 2, **add, delay=100)
    elif kind == "at, at the front":
        producer.enqueue(ADD, 1, 2, **add, at=datetime(2100, 1, 1, tzinfo=UTC), at_front=True)
    elif kind == "group":
        producer.enqueue(ADD, 1, 2, **add, group="mail")
    elif kind.startswith("depends"):
        first = [Call(ADD, 1, 2, job_id=name) for name in ("one", "two")]
        last = Call(ADD, 1, 2, **add, depends_on=["one", "two"], allow_failure="failure" in kind)
        producer.enqueue_many([*first, last])
    else:
        for number in range(2):
            limit = package.RateLimit("shop", 1)
            producer.enqueue(ADD, 1, 2, job_id=f"job{number}", rate_limit=limit, at_front="front" in kind)


@pytest.mark.parametrize(
    "kind",
    [
        *("delay", "at, at the front", "group", "depends", "depends, allow failure"),
        *("rate limit", "rate limit, at the front"),
    ],
)
def test_what_waits_is_written_key_by_key_as_rq_writes_it(
    server: RedisServer, redis: redis_py.Redis, kind: str
) -> None:
    by_rq(Queue("default", connection=redis, serializer="json"), kind)
    theirs = unpacked(snapshots.take(redis))
    redis.flushall()
    with over_tcp(server) as producer:
        by_producer(producer, kind)
    assert snapshots.differences(theirs, unpacked(snapshots.take(redis))) == {}


@WORKERS
def test_a_worker_runs_the_job_and_the_producer_reads_its_result(
    producer: Producer, redis: redis_py.Redis, work: Callable[[redis_py.Redis], None]
) -> None:
    job = producer.enqueue(ADD, 2, kwargs={"right": 3})
    assert job.created
    state = producer.status(job.id)
    assert (state.status, state.queue, state.ended) == ("queued", "default", False)
    with pytest.raises(NotFinished, match="has not ended yet; it is queued"):
        producer.result(job.id)
    work(redis)
    assert producer.result(job.id) == 5
    assert producer.wait(job.id, 5) == 5
    assert fetch(redis, job.id).return_value() == 5
    assert producer.status(job.id).percent == 100


@WORKERS
def test_none_and_failures_come_back_as_such(
    producer: Producer, redis: redis_py.Redis, work: Callable[[redis_py.Redis], None]
) -> None:
    nothing = producer.enqueue("tests.support.tasks.sleep", 0, description="nothing")
    failing = producer.enqueue("tests.support.tasks.boom", "no luck – ß")
    work(redis)
    assert producer.result(nothing.id) == 0
    with pytest.raises(JobFailed, match="ValueError: no luck – ß"):
        producer.wait(failing.id, 5)
    assert producer.status(failing.id).status == "failed"


def test_progress_and_the_reason_of_a_dead_letter_are_told(producer: Producer, redis: redis_py.Redis) -> None:
    job = producer.enqueue("tests.support.tasks.give_up")
    redis.hset(f"rq:job:{job.id}", "meta", json.dumps({"progress": {"percent": 40, "message": "half-way"}}))
    state = producer.status(job.id)
    assert (state.percent, state.message) == (40, "half-way")
    work(redis)
    state = producer.status(job.id)
    assert (state.status, state.reason) == ("failed", "permanent")
    assert state.error.endswith("PermanentError: there is no such product")


def test_an_id_that_exists_is_returned_as_it_is_in_any_state(producer: Producer, redis: redis_py.Redis) -> None:
    assert producer.enqueue(ADD, 1, 1, job_id="one").created
    again = producer.enqueue(ADD, 5, 5, job_id="one", queue="high")
    assert (again.id, again.created, again.status) == ("one", False, "queued")
    assert redis.llen("rq:queue:default") == 1
    assert not redis.exists("rq:queue:high")
    work(redis)
    again = producer.enqueue(ADD, 5, 5, job_id="one")
    assert (again.created, again.status) == (False, "finished")
    assert producer.result("one") == 2
    for status in ("started", "failed", "deferred", "scheduled", "stopped", "canceled"):
        redis.hset("rq:job:one", "status", status)
        assert producer.enqueue(ADD, 5, 5, job_id="one") == package.Enqueued("one", False, status)
    assert redis.llen("rq:queue:default") == 0


def test_jobs_about_one_thing_share_one_id(producer: Producer, redis: redis_py.Redis) -> None:
    one = producer.enqueue(ADD, 1, 1, unique="lamp")
    other = producer.enqueue(ADD, 1, 1, unique="lamp")
    assert (other.id, other.created) == (one.id, False)
    assert producer.enqueue(ADD, 1, 1, unique="chair").created
    assert redis.llen("rq:queue:default") == 2
    with pytest.raises(InvalidJob, match="not both"):
        producer.enqueue(ADD, unique="lamp", job_id="lamp")


@pytest.mark.parametrize("function", [ADD, "tests.support.tasks.boom"])
def test_an_ended_job_runs_again_in_place_and_leaves_its_registry(
    producer: Producer, redis: redis_py.Redis, function: str
) -> None:
    args = (1, 2) if function == ADD else ("first",)
    producer.enqueue(function, *args, job_id="one", meta={"old": 1}, retry=None)
    work(redis)
    ended = producer.status("one").status
    assert producer.enqueue(function, *args, job_id="one", rerun_after=3600) == package.Enqueued("one", False, ended)
    again = producer.enqueue(ADD, 20, 22, job_id="one", rerun_after=0, result_ttl=900)
    assert (again.created, again.status) == (True, "queued")
    assert redis.ttl("rq:job:one") == -1
    queue = Queue("default", connection=redis)
    assert "one" not in FinishedJobRegistry(queue=queue).get_job_ids() + FailedJobRegistry(queue=queue).get_job_ids()
    with pytest.raises(NotFinished):
        producer.result("one")
    work(redis)
    assert producer.result("one") == 42
    assert redis.lrange(f"rq:queue:{LETTERS}", 0, -1) == []
    assert not {b"dead_letter", b"attempts"} & set(redis.hkeys("rq:job:one"))
    assert "old" not in fetch(redis, "one").meta


def test_cancel_does_key_by_key_what_rqs_cancel_does(producer: Producer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis, serializer="json")
    queue.enqueue(ADD, 1, 1, job_id="other")
    queue.enqueue(ADD, 1, 1, job_id="job").cancel()
    by_rq = snapshots.take(redis)
    redis.flushall()
    queue.enqueue(ADD, 1, 1, job_id="other")
    queue.enqueue(ADD, 1, 1, job_id="job")
    assert producer.cancel("job") == "canceled"
    assert snapshots.differences(by_rq, snapshots.take(redis)) == {}
    assert CanceledJobRegistry(queue=queue).get_job_ids() == ["job"]
    assert producer.cancel("job") == "canceled"
    with pytest.raises(JobFailed, match="job canceled"):
        producer.result("job")
    work(redis)
    assert producer.cancel("other") == "finished"
    assert producer.result("other") == 2


def test_a_running_job_that_is_canceled_stays_canceled(producer: Producer, redis: redis_py.Redis) -> None:
    job = producer.enqueue("tests.support.tasks.look", "done")
    seen = []
    tasks.observer = lambda _: seen.append((producer.cancel(job.id), redis.zcard("rq:wip:default")))
    try:
        work(redis)
    finally:
        tasks.observer = None
    assert seen == [("canceled", 0)]
    assert fetch(redis, job.id).get_status() == "canceled"


def test_ids_that_are_none_are_said_to_be_none(producer: Producer) -> None:
    for call in (producer.status, producer.result, producer.cancel, lambda job_id: producer.wait(job_id, 1)):
        with pytest.raises(NoSuchJob, match="There is no job nothing"):
            call("nothing")


def test_waiting_ends_at_its_deadline(producer: Producer) -> None:
    job = producer.enqueue(ADD, 1, 1)
    with pytest.raises(NotFinished, match="it is queued"):
        producer.wait(job.id, 0.3)


def test_watching_tells_what_changes_until_the_end(producer: Producer, redis: redis_py.Redis) -> None:
    job = producer.enqueue(ADD, 1, 1)
    seen = []
    for state in producer.watch(job, 60):
        seen.append((state.status, state.percent))
        if state.status == "queued" and not state.percent:
            redis.hset(f"rq:job:{job.id}", "meta", json.dumps({"progress": {"percent": 40, "message": "half-way"}}))
        elif not state.ended:
            work(redis)
    assert (seen[0], seen[-1]) == (("queued", 0), ("finished", 40))
    assert ("queued", 40) in seen
    assert [state.status for state in producer.watch(job, 0)] == ["finished"]
    with pytest.raises(NoSuchJob):
        next(producer.watch("nothing", 1))


def test_a_result_that_is_pickled_is_refused_in_words(producer: Producer, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(ADD, 1, 1)
    SimpleWorker(["default"], connection=redis).work(burst=True)
    with pytest.raises(package.Refused, match="pickle serializer"):
        producer.result(job.id)


def test_one_enqueue_costs_one_request_and_one_command(stub: RestStub, redis: redis_py.Redis) -> None:
    with over_rest(stub) as producer:
        producer.enqueue(ADD, 1, 1)  # the connection, the script in the server's cache
        redis.config_resetstat()
        stub.requests, stub.commands = 0, type(stub.commands)()
        producer.enqueue(ADD, 1, 1)
        executed = {name: row["calls"] for name, row in redis.info("commandstats").items()}
    assert (stub.requests, dict(stub.commands)) == (1, {"EVAL": 1})
    inner = {name.removeprefix("cmdstat_"): calls for name, calls in executed.items()}
    for own in ("eval", "info", "config|resetstat"):
        inner.pop(own, None)
    assert inner == {"hmget": 1, "hset": 1, "sadd": 1, "rpush": 1}


def test_the_environment_may_name_another_prefix(stub: RestStub, redis: redis_py.Redis) -> None:
    environ = {"UPSTASH_REDIS_REST_URL": stub.url, "UPSTASH_REDIS_REST_TOKEN": "stub-token-correct-horse"}
    with Producer.from_environment({**environ, "RQ_KEY_PREFIX": "{shop}"}) as producer:
        producer.enqueue(ADD, 1, 1, job_id="one")
    assert sorted(redis.keys()) == [b"{shop}:job:one", b"{shop}:queue:default", b"{shop}:queues"]


def test_a_cached_answer_is_fresh_then_stale_then_made(producer: Producer, redis: redis_py.Redis) -> None:
    def ask(**more: Any) -> package.Answer:
        return producer.ask(ADD, 1, 1, unique="sum", cache_key="sum", freshness=100, **more)

    made = ask()
    assert (made.value, made.stale) == (None, False)
    assert made.job is not None
    assert made.job.created
    redis.set("rq:cache:sum", json.dumps({"größe": 2}), ex=160)
    assert ask() == package.Answer({"größe": 2}, False, None)
    redis.expire("rq:cache:sum", 99)
    stale = ask()
    assert (stale.value, stale.stale) == ({"größe": 2}, True)
    assert stale.job == package.Enqueued(made.job.id, False, "queued")
    redis.set("rq:cache:sum", b"{no json", ex=1000)
    with pytest.raises(package.Refused, match="not JSON"):
        ask()


def test_who_asks_too_often_is_told_when_to_come_back(producer: Producer, redis: redis_py.Redis) -> None:
    def ask(who: str) -> package.Answer:
        return producer.ask(ADD, 1, 1, unique="sum", cache_key="sum", freshness=100, limit=(who, 2, 30))

    ask("ann")
    ask("ann")
    with pytest.raises(package.RateLimited, match="Try again in") as caught:
        ask("ann")
    assert 1 <= caught.value.retry_after <= 30
    ask("bob")
    assert redis.llen("rq:queue:default") == 1


def test_who_looks_too_often_is_told_when_to_come_back(producer: Producer) -> None:
    job = producer.enqueue(ADD, 1, 1).id
    assert [producer.status(job, limit=("ann", 2, 30)) for _ in range(2)] == [producer.status(job)] * 2
    with pytest.raises(package.RateLimited, match="Try again in") as caught:
        producer.status(job, limit=("ann", 2, 30))
    assert 1 <= caught.value.retry_after <= 30
    with pytest.raises(package.NoSuchJob):
        producer.status("missing", limit=("bob", 2, 30))
    with pytest.raises(package.InvalidJob, match="the calls of limit"):
        producer.status(job, limit=("bob", -1, 30))


def test_it_works_as_a_folder_that_was_copied_into_another_project(stub: RestStub, tmp_path: Path) -> None:
    shutil.copytree(Path(package.__file__).parent, tmp_path / "worthit_producer")
    program = (
        "from worthit_producer import Producer\n"
        "with Producer.from_environment() as producer:\n"
        "    print(producer.enqueue('jobs.a.b', 1).status)\n"
        "import sys\n"
        "assert not {'rq', 'redis', 'worker', 'jobs', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=rest_environment(stub),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("queued\n", "")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_result_with_what_json_does_not_have_is_null_from_us_and_refused_in_words_from_rq(
    producer: Producer, redis: redis_py.Redis, number: str
) -> None:
    ours = producer.enqueue("tests.support.tasks.as_number", number)
    work(redis)
    assert producer.result(ours.id) is None
    theirs = producer.enqueue("tests.support.tasks.as_number", number)
    work_by_rq(redis)
    with pytest.raises(package.Refused, match=r"holds (NaN|-?Infinity), which JSON does not have: a plain RQ worker"):
        producer.result(theirs.id)
    redis.set("rq:cache:lamp", f'{{"price": {json.dumps(float(number))}}}', ex=900)
    with pytest.raises(package.Refused, match=r"cached there holds (NaN|-?Infinity), which JSON does not have"):
        producer.ask(ADD, 1, 1, unique="lamp", cache_key="lamp", freshness=60)


@pytest.mark.parametrize(
    ("stored", "says"),
    [("%%%", "is not base64"), (b64encode(b"{").decode(), "is not JSON: Expecting"), ("/w==", "is not JSON: ")],
)
def test_a_result_that_cannot_be_read_is_called_what_it_is(
    producer: Producer, redis: redis_py.Redis, stored: str, says: str
) -> None:
    job = producer.enqueue(ADD, 1, 1)
    work(redis)
    redis.xadd(f"rq:results:{job.id}", {"type": 1, "return_value": stored})
    with pytest.raises(package.Refused, match=says) as caught:
        producer.result(job.id)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1, "5", True, None])
def test_waits_and_limits_are_numbers_that_redis_and_clocks_know(producer: Producer, number: Any) -> None:
    ask: dict[str, Any] = {"unique": "lamp", "cache_key": "lamp", "freshness": 60}
    with pytest.raises(InvalidJob, match="freshness must be a number"):
        producer.ask(ADD, **{**ask, "freshness": number})
    with pytest.raises(InvalidJob, match="the calls of limit"):
        producer.ask(ADD, **ask, limit=("me", number, 60))
    with pytest.raises(InvalidJob, match="the seconds of limit"):
        producer.ask(ADD, **ask, limit=("me", 1, number))
    if number is not None:
        with pytest.raises(InvalidJob, match="rerun_after"):
            producer.enqueue(ADD, job_id="one", rerun_after=number)
    with pytest.raises(InvalidJob, match="seconds must be a number"):
        producer.wait("one", float("nan"))
    with pytest.raises(InvalidJob, match="seconds must be a number"):
        Producer.from_environment({"REDIS_URL": "redis://127.0.0.1:1"}, seconds=number)


def test_whether_a_job_ended_long_ago_is_told_by_the_servers_clock(
    producer: Producer, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer.enqueue(ADD, 1, 1, job_id="one")
    work(redis)
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert not producer.enqueue(ADD, 1, 1, job_id="one", rerun_after=60).created, "it ended a moment ago"
    redis.hset("rq:job:one", "ended_at", "2001-02-03T04:05:06.000000Z")
    assert producer.enqueue(ADD, 1, 1, job_id="one", rerun_after=60 * 86400).created
