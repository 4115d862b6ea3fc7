"""Every road that a job can go wrong on ends at the dead letters, once, with a reason; on the real service."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from tests.support import letters, tasks
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS

LETTERS = "rq:queue:dead-letter"
EVIL_TRACE = Path("/tmp/worker-test-dead-roads-was-evil")


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch {EVIL_TRACE}",)


def payload(name: str, *args: Any) -> bytes:
    return zlib.compress(pickle.dumps((name, None, args, {})))


GOOD = payload("tests.support.tasks.add", 1, 1)
#: What each job is enqueued with, what is written over its hash (None = the field is removed), and its reason.
ROADS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "raises": ({"f": tasks.boom}, {}, "failed"),
    "retries exhausted": ({"f": tasks.boom, "retry": Retry(max=1)}, {}, "attempts_exhausted"),
    "permanent": ({"f": tasks.give_up, "retry": Retry(max=5)}, {}, "permanent"),
    "returned Retry": ({"f": tasks.returns_retry, "args": (1,)}, {}, "attempts_exhausted"),
    "callback raises": ({"f": tasks.add, "args": (1, 1), "on_success": Callback(tasks.raising_callback)}, {}, "failed"),
    "timeout": ({"f": tasks.nap_in_steps, "args": (60,), "job_timeout": 1}, {}, "timeout"),
    "crashes": ({"f": tasks.die}, {}, "crashed"),
    "refused function": ({"f": "os.getcwd"}, {}, "refused_function"),
    "unknown function": ({"f": "tests.support.tasks.nothing"}, {}, "unknown_function"),
    "corrupt zlib": ({}, {"data": b"x\x9cgarbage"}, "unreadable_payload"),
    "corrupt pickle": ({}, {"data": zlib.compress(b"\x80garbage")}, "unreadable_payload"),
    "corrupt JSON": ({}, {"data": b"[not json"}, "unreadable_payload"),
    "evil pickle": ({}, {"data": payload("tests.support.tasks.add", Evil())}, "refused_class"),
    "unknown class": (
        {},
        {"data": zlib.compress(b"\x80\x02ctests.support.tasks\nNoSuchThing\n.")},
        "unknown_function",
    ),
    "no data": ({}, {"data": None}, "unreadable_hash"),
    "bad date": ({}, {"created_at": "yesterday"}, "unreadable_hash"),
    "bad timeout": ({}, {"timeout": "soon"}, "unreadable_hash"),
    "bad status": ({}, {"status": "wat"}, "unreadable_hash"),
    "bad retries": ({}, {"retries_left": "many"}, "unreadable_hash"),
    "no origin": ({"f": tasks.boom}, {"origin": None}, "failed"),
}
#: Those that take long or end their process: what was claimed with them is given back.
GIVE_BACK = {"timeout", "crashes"}


def put(queue: Queue, redis: redis_py.Redis, road: str) -> str:
    """Enqueue the job of a road; it is on the queue only once its hash is as it should be."""
    options, fields, _ = ROADS[road]
    job = Job.create(
        options.get("f", tasks.add),
        options.get("args", () if "f" in options else (1, 1)),
        connection=redis,
        timeout=options.get("job_timeout"),
        on_success=options.get("on_success"),
        origin=queue.name,
        status="queued",
    )
    if "retry" in options:
        job.retries_left = options["retry"].max
    job.save()
    for name, value in fields.items():
        redis.hdel(job.key, name) if value is None else redis.hset(job.key, name, value)
    redis.rpush(queue.key, job.id)
    return job.id


def test_every_road_ends_at_the_dead_letters_once(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    environ = {"WORKER_MAX_CRASHES": "2", "WORKER_UNKNOWN_GRACE": "0", "RENDER_GIT_COMMIT": "abc123"}
    with Service(server.url, **environ) as service:
        roads: dict[str, str] = {}
        # A claim that is given back is "queued" again, whatever stood there: those whose neighbours are come last.
        for wave in (ROADS.keys() - GIVE_BACK, GIVE_BACK):
            roads.update({put(queue, redis, road): road for road in sorted(wave)})
            good = queue.enqueue(tasks.add, 1, 1)
            until(
                lambda: roads.keys() <= set(letters.ids(redis)),
                120,
                what=f"every dead letter of {roads}",
                service=service,
            )
        until(lambda: good.get_status() == "finished", PATIENCE_SECONDS, service=service)
        until(lambda: redis.keys("rq:execution:*") == [], PATIENCE_SECONDS, service=service)
    ids = letters.ids(redis)
    assert sorted(ids) == sorted(roads), "each is there once"
    assert {roads[job_id]: record(redis, job_id)["reason"] for job_id in ids} == {
        road: reason for road, (_, _, reason) in ROADS.items()
    }
    failed = FailedJobRegistry(queue=queue).get_job_ids(cleanup=False)
    assert sorted(failed) == sorted(roads), "RQ sees each as failed, once"
    for job_id, road in roads.items():
        told = record(redis, job_id)
        assert (told["queue"], told["release"]) == ("default", "abc123"), road
        assert told["worker"].startswith(f"{told['instance']}."), road
        assert told["first_failed_at"] <= told["at"], road
        assert len(told["fingerprint"]) == 12, road
        assert redis.hget(f"rq:job:{job_id}", "status") == b"failed", road
    by_road = {road: record(redis, job_id) for job_id, road in roads.items()}
    assert by_road["retries exhausted"]["attempts"] == 2
    assert by_road["crashes"]["attempts"] == 2
    assert not EVIL_TRACE.exists()


def plain_worker_fails(redis: redis_py.Redis, queue: Queue, function: Any = tasks.boom) -> Job:
    job = queue.enqueue(function)
    SimpleWorker([queue], connection=redis).work(burst=True)
    assert job.get_status() == "failed"
    return job


def cleaning_fails(redis: redis_py.Redis, queue: Queue) -> Job:
    """A plain worker vanished with the job; RQ's cleaning (`rq info`, a dashboard, any worker) finds it later."""
    job = Job.create(tasks.add, (1, 1), connection=redis, origin=queue.name, status="started")
    job.save()
    execution = Execution("e1", job.id, redis, worker_name="gone")
    with redis.pipeline() as pipeline:
        execution.save(ttl=60, pipeline=pipeline)
        pipeline.execute()
    redis.zadd(f"rq:wip:{queue.name}", {execution.composite_key: 1})
    StartedJobRegistry(queue=queue).cleanup()
    assert job.get_status() == "failed"
    return job


@pytest.mark.slow
def test_failures_of_plain_rq_are_collected_within_a_minute(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    before = [plain_worker_fails(redis, queue), cleaning_fails(redis, queue)]
    with Service(server.url, WORKER_PROCESSES="1") as service:
        until(
            lambda: redis.llen(LETTERS) == 2,
            PATIENCE_SECONDS,
            what="the collection of what failed before",
            service=service,
        )
        later = cleaning_fails(redis, Queue("high", connection=redis))
        until(
            lambda: redis.llen(LETTERS) == 3,
            120,
            what="the collection within a minute, if nothing is busy",
            service=service,
        )
        until(lambda: len(service.of("job.buried", by="rq")) == 3, service=service)
    reasons = [record(redis, job.id)["reason"] for job in (*before, later)]
    assert reasons == ["failed_elsewhere", "abandoned", "abandoned"]


@pytest.fixture(autouse=True)
def no_trace_of_evil() -> Any:
    EVIL_TRACE.unlink(missing_ok=True)
    yield
    EVIL_TRACE.unlink(missing_ok=True)
