"""A job that somebody cancels or deletes while it runs: whatever end it comes to, that stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.job import Job

from tests.support import tasks
from tests.support.engine import desk, rescuer
from tests.support.worker import consumer
from worker.engine.claims import Claims
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.records import Claim

DECIDER = Decider("ann", "dead-letter", max_crashes=1, result_ttl=500, max_handbacks=1, now=lambda: datetime.now(UTC))
RETRIES = {"retry": Retry(max=2)}
LATER = {"retry": Retry(max=2, interval=1)}
FAILED = {"on_failure": Callback(tasks.on_failure)}


def cancel(redis: redis_py.Redis) -> None:
    Job.fetch("j", connection=redis).cancel()


def delete(redis: redis_py.Redis) -> None:
    Job.fetch("j", connection=redis).delete()


def stays_so(redis: redis_py.Redis, act: Callable[[redis_py.Redis], None]) -> None:
    """It waits nowhere, runs nowhere, is no dead letter, and has left no traces that it might come back by."""
    assert redis.hget("rq:job:j", "status") == (b"canceled" if act is cancel else None)
    assert redis.exists("rq:job:j") == (act is cancel)
    for queue in ("default", "dead-letter"):
        assert redis.lrange(f"rq:queue:{queue}", 0, -1) == []
    for registry in ("scheduled", "failed", "finished", "wip"):
        assert redis.keys(f"rq:{registry}:*") == []
    assert redis.keys("rq:results:*") == []
    assert all(redis.ttl(key) > 0 for key in redis.keys("rq:execution*")), "of a dead worker they expire"
    consumer(redis).work(burst=True)
    assert redis.keys("rq:results:*") == []


@pytest.mark.parametrize("act", [cancel, delete])
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    ("error", "options"),
    [
        ("", {}),
        ("no", {}),
        ("no", RETRIES),
        ("no", LATER),
        ("no", FAILED),
        ("no", {**FAILED, **RETRIES}),
        ("no", {**FAILED, **LATER}),
        ("", {"on_success": Callback(tasks.on_success)}),
    ],
    ids=["returns", "fails", "retries", "later", "calls back", "calls back, retries", "calls back, later", "succeeds"],
)
def test_in_a_consumer(
    redis: redis_py.Redis,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[redis_py.Redis], None],
    threads: str,
    error: str,
    options: dict[str, Any],
) -> None:
    Queue("default", connection=redis).enqueue(tasks.look, None, error, job_id="j", **options)
    seen: list[int] = []

    def meanwhile(connection: redis_py.Redis) -> None:
        seen.append(1)
        act(connection)

    monkeypatch.setattr(tasks, "observer", meanwhile)
    consumer(redis, WORKER_THREADS=threads).work(burst=True)
    stays_so(redis, act)
    assert seen == [1]


@pytest.mark.parametrize("act", [cancel, delete])
@pytest.mark.parametrize("options", [{}, RETRIES, LATER, FAILED], ids=["plain", "retries", "later", "calls back"])
def test_at_its_timeout(
    redis: redis_py.Redis,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[redis_py.Redis], None],
    options: dict[str, Any],
) -> None:
    Queue("default", connection=redis).enqueue(tasks.look, None, "", job_id="j", job_timeout=1, **options)

    def meanwhile(connection: redis_py.Redis) -> None:
        act(connection)
        tasks.nap_in_steps(30)

    monkeypatch.setattr(tasks, "observer", meanwhile)
    consumer(redis).work(burst=True)
    stays_so(redis, act)


def a_rescue(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    rescuer(redis).rescue_orphans()


def the_last_rescue(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    saviour = rescuer(redis)
    saviour._deciding = DECIDER
    saviour.rescue_orphans()


def a_hand_back(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    rescuer(redis).hand_back("ann", claim.execution_id)


def the_last_hand_back(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    saviour = rescuer(redis)
    saviour._deciding = DECIDER
    saviour.hand_back("ann", claim.execution_id)


def a_release(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    ann.release([claim], interrupted=frozenset({claim.execution_id}))


def a_recovery(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    assert ann.recover(claim.execution_id).running == []


def an_outcome_that_is_refused(redis: redis_py.Redis, ann: Claims, claim: Claim) -> None:
    """What is buried when the server does not take the outcome itself, by force in the end."""
    job = Payloads(["tests.support.tasks"], ["pickle"]).restore(claim, redis)
    now = monotonic()
    returned = DECIDER.success(job, claim, b"dmFsdWU=", now, now)
    outcome = DECIDER.refused_outcome(returned, 1000, "max request size exceeded")
    outcome.forced = outcome.by_force = True
    assert ann.settle_and_claim([outcome], 0).fenced == [claim.execution_id]


@pytest.mark.parametrize("act", [cancel, delete])
@pytest.mark.parametrize("options", [{}, RETRIES, LATER, FAILED], ids=["plain", "retries", "later", "calls back"])
@pytest.mark.parametrize(
    "end",
    [
        a_rescue,
        the_last_rescue,
        a_hand_back,
        the_last_hand_back,
        a_release,
        a_recovery,
        an_outcome_that_is_refused,
    ],
)
def test_when_others_end_it(
    redis: redis_py.Redis,
    act: Callable[[redis_py.Redis], None],
    options: dict[str, Any],
    end: Callable[[redis_py.Redis, Claims, Claim], None],
) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="j", **options)
    ann = desk(redis)
    claim = ann.settle_and_claim([], 1).claims[0]
    act(redis)
    end(redis, ann, claim)
    stays_so(redis, act)
