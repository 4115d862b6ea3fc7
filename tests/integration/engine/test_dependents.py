"""A job that waits for several others runs once, however close together those end, and whoever ends them."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from redis.client import Pipeline
from rq import Queue, Retry, SimpleWorker
from rq.job import Dependency, Job

from tests.support import tasks
from tests.support.engine import aged, desk, lives, rescuer, script_calls
from tests.support.hostile import KILLERS
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker.engine import registries
from worker.engine.dependents import FEW, KEPT_SECONDS, ManyDependents, ParentQueue
from worker.redis import scripts

LINE = "rq:queue:low"


def family(redis: redis_py.Redis, first: str, second: str, **options: Any) -> Job:
    """A child on `low` of a parent on `high` and one on `default`, which raise what they are given or return."""
    parents = [
        Queue(name, connection=redis).enqueue(tasks.look, None, error, job_id=f"parent-{name}", **options)
        for name, error in (("high", first), ("default", second))
    ]
    depends_on = Dependency(parents, allow_failure=True)
    return Queue("low", connection=redis).enqueue(tasks.add, 1, 1, job_id="child", depends_on=depends_on)


def ours(redis: redis_py.Redis) -> None:
    consumer(redis, "default").work(burst=True)


def plain(redis: redis_py.Redis) -> None:
    SimpleWorker(["default"], connection=redis).work(burst=True)


def rescued(redis: redis_py.Redis) -> None:
    """The other parent is buried by the dispatcher: its worker has died."""
    redis.hset("rq:job:parent-default", "crashes", 2)
    desk(redis, "dead", "default").settle_and_claim([], 1)
    assert rescuer(redis).rescue_orphans() == 1


def maintained(redis: redis_py.Redis) -> None:
    """The other parent's worker dies before it looks for children; maintenance finds that all have ended."""
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(ParentQueue, "move_dependents_to_ready", lambda *_, **__: {})
        ours(redis)
    for name in ("parent-high", "parent-default"):
        aged(Job.fetch(name, connection=redis))
    script_calls(redis).call(scripts.MAINTAIN, "", 0, 0, 1)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let something happen when the first parent's end is written, and its children are not looked for yet."""

    def arrange(happens: Callable[[], None]) -> None:
        send = Job.send_webhooks

        def first(job: Job, *args: Any, **named: Any) -> None:
            monkeypatch.setattr(Job, "send_webhooks", send)
            happens()
            send(job, *args, **named)

        monkeypatch.setattr(Job, "send_webhooks", first)

    return arrange


@pytest.mark.parametrize("other_ends", [ours, plain, rescued, maintained])
@pytest.mark.parametrize("second", ["", "no"])
@pytest.mark.parametrize("runs_at_once", [False, True])
def test_the_end_of_another_parent_in_the_midst_of_this_ones_enqueues_it_once(
    redis: redis_py.Redis,
    meanwhile: Callable[[Callable[[], None]], None],
    other_ends: Callable[[redis_py.Redis], None],
    second: str,
    runs_at_once: bool,
) -> None:
    child = family(redis, "no", second)
    seen: list[list[bytes]] = []

    def happens() -> None:
        other_ends(redis)
        seen.append(redis.lrange(LINE, 0, -1))
        if runs_at_once:
            consumer(redis, "low").work(burst=True)

    meanwhile(happens)
    consumer(redis, "high").work(burst=True)
    assert seen == [[b"child"]]
    assert redis.lrange(LINE, 0, -1) == ([] if runs_at_once else [b"child"])
    assert child.get_status() == ("finished" if runs_at_once else "queued")
    assert redis.keys("rq:ready:*") == redis.keys("rq:deferred:*") == []


@pytest.mark.parametrize("other_ends", [ours, rescued, maintained])
def test_a_plain_worker_that_ends_a_parent_late_does_not_find_it(
    redis: redis_py.Redis,
    meanwhile: Callable[[Callable[[], None]], None],
    other_ends: Callable[[redis_py.Redis], None],
) -> None:
    family(redis, "no", "no")
    meanwhile(lambda: other_ends(redis))
    SimpleWorker(["high"], connection=redis).work(burst=True)
    assert redis.lrange(LINE, 0, -1) == [b"child"]


def test_a_parents_retries_enqueue_it_once_after_the_last(redis: redis_py.Redis) -> None:
    family(redis, "no", "", retry=Retry(max=3))
    consumer(redis, "high", "default").work(burst=True)
    assert redis.lrange(LINE, 0, -1) == [b"child"]
    consumer(redis, "low").work(burst=True)
    for name in ("parent-high", "parent-default"):  # ended once more: a replay, or a requeue by hand
        Queue(name.removeprefix("parent-"), connection=redis).enqueue_job(Job.fetch(name, connection=redis))
    consumer(redis, "high", "default").work(burst=True)
    assert redis.lrange(LINE, 0, -1) == []
    assert redis.xlen("rq:results:child") == 1


def test_others_that_enqueue_what_is_ready_at_the_same_moment_delay_nobody(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ watches the whole registry, so that of two parents with different children one gives way."""
    family(redis, "", "")
    watch = Pipeline.watch

    def contended(pipeline: Pipeline, *keys: Any) -> Any:
        answer = watch(pipeline, *keys)
        if "rq:ready:low" in keys:
            redis.zadd("rq:ready:low", {"another": 1})
        return answer

    monkeypatch.setattr(Pipeline, "watch", contended)
    consumer(redis, "high", "default").work(burst=True)
    assert redis.lrange(LINE, 0, -1) == [b"child"]


def test_what_cannot_be_enqueued_now_stays_ready(redis: redis_py.Redis) -> None:
    family(redis, "", "")
    redis.set(LINE, "this is no list")
    consumer(redis, "high", "default").work(burst=True)
    assert redis.zrange("rq:ready:low", 0, -1) == [b"child"]
    redis.delete(LINE)
    redis.zadd("rq:ready:low", {"child": 1})
    script_calls(redis).call(scripts.MAINTAIN, "", 0, 0, 1)
    assert redis.lrange(LINE, 0, -1) == [b"child"]


@pytest.mark.slow
def test_three_hundred_pairs_of_parents_that_end_at_the_same_moment(
    redis: redis_py.Redis, server: RedisServer, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    for number in range(300):
        errors = (("no", "no"), ("no", ""), ("", ""))[number % 3]
        parents = [
            Queue(name, connection=redis).enqueue(tasks.meet, str(number), error)
            for name, error in zip(("high", "default"), errors, strict=True)
        ]
        depends_on = Dependency(parents, allow_failure=True)
        Queue("low", connection=redis).enqueue(tasks.journal, str(journal), "begin", depends_on=depends_on)
    services = [Service(server.url, WORKER_PROCESSES="1", WORKER_QUEUES=queue) for queue in ("high", "default", "low")]
    with services[0], services[1], services[2]:
        eventually(lambda: len(tasks.runs(journal)) == 300, 120, what="a run of each child")
        eventually(lambda: not redis.keys("rq:wip:*") and not redis.keys(LINE), what="an end of all")
    assert Counter(tasks.runs(journal).values()) == {1: 300}
    assert redis.keys("rq:ready:*") == redis.keys("rq:deferred:*") == []


MANY = FEW + 30


def many(redis: redis_py.Redis, *parents: Job, allow_failure: bool = False) -> list[str]:
    """Return the ids of so many jobs on `low` that wait for all `parents`, and of what makes RQ's sets large tables."""
    depends_on = Dependency(list(parents), allow_failure=allow_failure)
    queue = Queue("low", connection=redis)
    ids = [f"{number}-{'x' * 80}" for number in range(MANY)]
    return [queue.enqueue(tasks.add, 1, 1, job_id=job_id, depends_on=depends_on).id for job_id in ids]


def waiting_once(redis: redis_py.Redis, ids: list[str]) -> bool:
    """Whether each of these jobs stands on its queue once, and waits for nothing any more."""
    registries = redis.keys("rq:ready:*") + redis.keys("rq:deferred:*")
    return sorted(redis.lrange(LINE, 0, -1)) == sorted(job_id.encode() for job_id in ids) and not registries


@pytest.mark.parametrize("ttl", [None, 0, 60, -1])
def test_many_are_enqueued_once_and_their_parent_lives_as_long_as_it_should(
    redis: redis_py.Redis, ttl: int | None
) -> None:
    parent = Queue("default", connection=redis).enqueue(tasks.look, 7, result_ttl=ttl)
    ids = many(redis, parent)
    ours(redis)
    assert waiting_once(redis, ids)
    assert redis.exists(parent.dependents_key) == 0
    if ttl == 0:
        assert redis.keys(f"rq:*{parent.id}*") == redis.zrange("rq:finished:default", 0, -1) == []
        return
    assert redis.hget(parent.key, "result_ttl") == (None if ttl is None else str(ttl).encode())
    for key in (parent.key, f"rq:results:{parent.id}"):
        assert lives(redis, key, 500 if ttl is None else ttl)
    assert redis.zscore("rq:finished:default", parent.id) < time.time() + 1000 or ttl == -1
    assert parent.return_value() == 7


@pytest.mark.parametrize("other_ends", [ours, plain, rescued])
@pytest.mark.parametrize("second", ["", "no"])
def test_many_that_wait_for_two_parents_are_enqueued_once_by_the_last(
    redis: redis_py.Redis, other_ends: Callable[[redis_py.Redis], None], second: str
) -> None:
    parents = [
        Queue(name, connection=redis).enqueue(tasks.look, None, error, job_id=f"parent-{name}")
        for name, error in (("high", "no"), ("default", second))
    ]
    ids = many(redis, *parents, allow_failure=True)
    consumer(redis, "high").work(burst=True)
    assert redis.llen(LINE) == 0
    other_ends(redis)
    assert waiting_once(redis, ids)


def test_many_that_do_not_bear_a_failure_stay(redis: redis_py.Redis) -> None:
    parent = Queue("default", connection=redis).enqueue(tasks.boom)
    ids = many(redis, parent)
    ours(redis)
    assert redis.llen(LINE) == 0
    assert redis.zcard("rq:deferred:low") == redis.scard(parent.dependents_key) == len(ids)


def test_many_that_their_parents_worker_did_not_get_to_are_enqueued_by_maintenance(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = Queue("default", connection=redis).enqueue(tasks.look, result_ttl=0)
    ids = many(redis, parent)
    monkeypatch.setattr(ManyDependents, "run", lambda *_: None)
    ours(redis)
    assert redis.llen(LINE) == 0
    aged(parent)
    for _ in registries.steps(script_calls(redis), called_for=True):
        pass
    assert waiting_once(redis, ids)
    assert lives(redis, parent.key, KEPT_SECONDS)


ODD_DEPENDENTS: list[dict[str, Any]] = [
    {"meta": zlib.decompress(KILLERS["a tuple nested as a key"])},
    {"data": KILLERS["a thousand times its size"]},
    {"timeout": "soon"},
    {"dependency_ids": "[" * 200_000},
    {"status": "wat"},
]


@pytest.mark.parametrize("odd", [*ODD_DEPENDENTS, None], ids=lambda odd: ",".join(odd or {"type": 0}))
def test_a_child_that_cannot_be_read_harms_neither_its_parent_nor_its_siblings(
    redis: redis_py.Redis, odd: dict[str, Any] | None
) -> None:
    queue = Queue("default", connection=redis)
    parent = queue.enqueue(tasks.add, 1, 1)
    children = [Queue("low", connection=redis).enqueue(tasks.add, 1, 1, depends_on=parent) for _ in range(2)]
    if odd is None:
        redis.delete(children[0].key)
        redis.set(children[0].key, "x")
    else:
        redis.hset(children[0].key, mapping=odd)
    ours(redis)
    assert parent.get_status() == "finished"
    assert children[1].id.encode() in redis.lrange(LINE, 0, -1)
