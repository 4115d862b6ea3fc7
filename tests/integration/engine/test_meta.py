"""What others save in a job's meta while it runs is there after every end of the job, and so is what we put there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
import redis as redis_py
from redis.client import Pipeline
from rq import Callback, Queue, Repeat, Retry
from rq.job import Job
from rq.rate_limit import RateLimit
from rq.serializers import resolve_serializer

from tests.support import tasks
from tests.support.engine import LETTERS, desk, enqueue, rescuer, script_calls
from tests.support.worker import consumer
from worker.context import JobContext
from worker.dead_letters.collect import Collect
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine.claims import Claims
from worker.engine.meta import MOST_TRIES, MetaKeepingJob
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.records import Buried, Claim

FAILED, LIMIT = Callback(tasks.on_failure), RateLimit("shop", 1)
PAYLOADS = Payloads(["tests.support.tasks"], ["pickle", "json"])
#: How a job ends: the error that it raises, what it is enqueued with, whether that makes it a dead letter.
ENDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "success": ("", {}, False),
    "failure": ("no", {}, True),
    "retries": ("no", {"retry": Retry(max=1)}, True),
    "a retry later": ("no", {"retry": Retry(max=1, interval=60)}, False),
    "failure with a callback": ("no", {"on_failure": FAILED}, True),
    "retries with a callback": ("no", {"on_failure": FAILED, "retry": Retry(max=1)}, True),
    "a retry later with a callback": ("no", {"on_failure": FAILED, "retry": Retry(max=1, interval=60)}, False),
    "success with a callback": ("", {"on_success": Callback(tasks.on_success)}, False),
    "a callback that raises": ("", {"on_success": Callback(tasks.raising_callback)}, True),
    "a repeat": ("", {"repeat": Repeat(times=1)}, False),
    "a repeat later": ("", {"repeat": Repeat(times=1, interval=60)}, False),
    "a retry that gives up its place": ("no", {"rate_limit": LIMIT, "retry": Retry(max=1, interval=60)}, False),
    "failure with a rate limit": ("no", {"rate_limit": LIMIT}, True),
}
DECIDER = Decider("ann", LETTERS, max_crashes=1, result_ttl=500, max_handbacks=1, now=lambda: datetime.now(UTC))


def others_write(job_id: str, serializer: Any, key: str = "cancel_requested") -> Callable[[redis_py.Redis], None]:
    """Another process saves a key, as RQ's clients do it."""

    def write(connection: redis_py.Redis) -> None:
        other = Job.fetch(job_id, connection=connection, serializer=serializer)
        other.meta[key] = True
        other.save_meta()

    return write


def stored(redis: redis_py.Redis, serializer: Any, job_id: str = "j") -> dict[str, Any]:
    meta: dict[str, Any] = Job.fetch(job_id, connection=redis, serializer=serializer).meta
    return meta


@pytest.mark.parametrize("serializer", ["pickle", "json"])
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    ("error", "options", "buried"),
    ENDS.values(),
    ids=ENDS,
)
def test_every_end_keeps_what_others_have_saved_meanwhile(
    redis: redis_py.Redis,
    monkeypatch: pytest.MonkeyPatch,
    serializer: str,
    threads: str,
    error: str,
    options: dict[str, Any],
    buried: bool,
) -> None:
    queue = Queue("default", connection=redis, serializer=serializer)
    dependent = {"depends_on": queue.enqueue(tasks.look, None, error, job_id="j", meta={"colour": "green"}, **options)}
    queue.enqueue(tasks.add, 1, 1, job_id="child", **dependent)
    monkeypatch.setattr(tasks, "observer", others_write("j", queue.serializer))
    consumer(redis, WORKER_THREADS=threads).work(burst=True)
    meta = stored(redis, queue.serializer)
    assert {key: meta[key] for key in ("colour", "cancel_requested") if key in meta} == {
        "colour": "green",
        "cancel_requested": True,
    }
    assert ("dead_letter" in meta) == buried == (redis.lrange("rq:queue:dead-letter", 0, -1) == [b"j"])


def claimed(redis: redis_py.Redis, **options: Any) -> tuple[Claims, Claim, Job]:
    enqueue(redis, "default", "j", meta={"colour": "green"}, **options)
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    return ann, claim, PAYLOADS.restore(claim, redis)


def a_rescue(redis: redis_py.Redis, ann: Claims) -> None:
    redis.delete("rq:worker:ann")
    redis.zadd("rq:wip:default", dict.fromkeys(redis.zrange("rq:wip:default", 0, -1), 0))
    saviour = rescuer(redis)
    object.__setattr__(saviour, "_deciding", DECIDER)
    assert saviour.rescue_orphans() == 1


def a_hand_back(redis: redis_py.Redis, ann: Claims) -> None:
    saviour = rescuer(redis)
    object.__setattr__(saviour, "_deciding", DECIDER)
    assert saviour.hand_back("ann", redis.zrange("rq:executions:j", 0, -1)[0].decode()) == 1


def a_collection(redis: redis_py.Redis, ann: Claims) -> None:
    """Somebody else has failed it; its meta is written between our reading and our writing."""
    redis.hset("rq:job:j", mapping={"status": "failed", "ended_at": "2026-11-25T04:37:30.000000Z"})
    redis.zadd("rq:failed:default", {"j": 4e9})
    calls = script_calls(redis)
    collect = Collect(calls, DeadLetterQueue(redis, "rq", LETTERS), PAYLOADS, ["default"], None)
    run = calls.run
    write = others_write("j", resolve_serializer(None), "late")

    def late(commands: Any) -> Any:
        write(redis)
        return run(commands)

    calls.run = late  # type: ignore[method-assign]
    list(collect.steps())
    assert "late" in stored(redis, resolve_serializer(None))


@pytest.mark.parametrize("end", [a_rescue, a_hand_back, a_collection])
def test_so_does_every_end_without_the_consumer(
    redis: redis_py.Redis, end: Callable[[redis_py.Redis, Claims], None]
) -> None:
    ann, _, _ = claimed(redis)
    others_write("j", resolve_serializer(None))(redis)
    end(redis, ann)
    meta = stored(redis, resolve_serializer(None))
    assert set(meta) - {"late"} == {"colour", "cancel_requested", "dead_letter"}
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [b"j"]


def letter_for(claim: Claim, job: Job) -> Buried:
    return DECIDER.bury("failed", claim, monotonic(), monotonic(), attempts=1, job=job, error=ValueError("no"))


@pytest.mark.parametrize("times", [1, 3, MOST_TRIES * 2])
def test_a_burial_comes_to_its_end_however_often_others_write_meanwhile(redis: redis_py.Redis, times: int) -> None:
    ann, claim, job = claimed(redis)
    run = ann.run
    written: list[str] = []

    def busy(commands: Any) -> Any:
        if len(written) < times:
            written.append(f"key-{len(written)}")
            others_write("j", job.serializer, written[-1])(redis)
        return run(commands)

    ann.run = busy  # type: ignore[method-assign]
    assert ann.settle_and_claim([letter_for(claim, job)], 0).fenced == []
    meta = stored(redis, job.serializer)
    assert set(written) <= set(meta), "nobody's key is lost"
    assert ("dead_letter" in meta) == (times < MOST_TRIES)
    assert redis.hget("rq:job:j", "status") == b"failed"
    assert redis.hexists("rq:job:j", "dead_letter")


def test_what_is_refused_because_of_the_meta_has_changed_nothing(redis: redis_py.Redis) -> None:
    ann, claim, job = claimed(redis)
    others_write("j", job.serializer)(redis)
    before = redis.hgetall("rq:job:j"), redis.zrange("rq:wip:default", 0, -1), redis.keys("rq:results:*")
    outcome = letter_for(claim, job)
    ann._bury_over = lambda _, reply: reply  # type: ignore[method-assign]
    ann.settle_and_claim([outcome], 0)
    assert before == (redis.hgetall("rq:job:j"), redis.zrange("rq:wip:default", 0, -1), redis.keys("rq:results:*"))


def test_meta_that_became_unreadable_meanwhile_is_left_alone(redis: redis_py.Redis) -> None:
    ann, claim, job = claimed(redis)
    redis.hset("rq:job:j", "meta", b"\x80of another serializer")
    ann.settle_and_claim([letter_for(claim, job)], 0)
    assert redis.hmget("rq:job:j", "status", "meta") == [b"failed", b"\x80of another serializer"]
    assert redis.hexists("rq:job:j", "dead_letter")


# -- progress and save_meta --------------------------------------------------------------------------------------------


def test_progress_keeps_what_others_have_saved(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis)
    progress = JobContext.for_job(job, redis, "default", 1).progress
    for key in ("first", "second"):
        others_write("j", job.serializer, key)(redis)
        progress(50, key)
    assert stored(redis, job.serializer) == {
        "colour": "green",
        "first": True,
        "second": True,
        "progress": {"percent": 50, "message": "second"},
    }
    assert job.meta == stored(redis, job.serializer), "the job sees what others have saved"


def test_progress_of_a_job_that_was_deleted_leaves_no_hash_behind(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis)
    Job.fetch("j", connection=redis).delete()
    JobContext.for_job(job, redis, "default", 1).progress(50, "half")
    assert not redis.exists("rq:job:j")


def test_many_writers_at_once_lose_nothing(redis: redis_py.Redis) -> None:
    _, claim, _ = claimed(redis)
    writers = [PAYLOADS.restore(claim, redis) for _ in range(4)]

    def write(number: int, job: Job) -> None:
        for round_ in range(25):
            job.meta[f"{number}-{round_}"] = round_
            job.save_meta()

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(redis, writers[0].serializer)) == 1 + 4 * 25


def test_what_a_job_changes_removes_and_nests_is_saved(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis)
    job.meta.update(steps=["one"], gone=1)
    job.save_meta()
    steps = job.meta["steps"]
    others_write("j", job.serializer)(redis)
    steps.append("two")
    del job.meta["gone"]
    job.save_meta()
    assert job.meta["steps"] is steps, "the job may hold on to what it has put there"
    assert stored(redis, job.serializer) == {"colour": "green", "steps": ["one", "two"], "cancel_requested": True}


def test_what_others_remove_stays_removed_unless_the_job_has_changed_it(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis, description="a job")
    other = Job.fetch("j", connection=redis)
    other.meta.clear()
    other.save_meta()
    job.meta["mine"] = 1
    job.save_meta()
    assert stored(redis, job.serializer) == job.meta == {"mine": 1}


def test_meta_that_cannot_be_saved_is_the_jobs_error_as_in_rq(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis)
    job.meta["lock"] = lambda: None
    with pytest.raises(Exception, match="pickle"):
        job.save_meta()
    assert stored(redis, job.serializer) == {"colour": "green"}


def test_a_job_that_saves_itself_in_a_transaction_saves_its_meta_too(redis: redis_py.Redis) -> None:
    _, _, job = claimed(redis)
    assert isinstance(job, MetaKeepingJob)
    others_write("j", job.serializer)(redis)
    job.meta["mine"] = 1
    with redis.pipeline() as pipeline:
        assert isinstance(pipeline, Pipeline)
        job.save(pipeline=pipeline)
        pipeline.execute()
    assert stored(redis, job.serializer) == {"colour": "green", "cancel_requested": True, "mine": 1}
    others_write("j", job.serializer, "later")(redis)
    assert set(job.get_meta()) == {"colour", "cancel_requested", "mine", "later"}
