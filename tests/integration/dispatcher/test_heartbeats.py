"""For whom the dispatcher keeps the record in Redis alive: silence is cheap, death is not."""

from __future__ import annotations

import os
from time import monotonic

import pytest
import redis as redis_py

from tests.support.engine import register, script_calls
from worker.consumer.supervision import SAFETY_POLL_SECONDS
from worker.dispatcher.heartbeats import SILENT_SECONDS, Heartbeats
from worker.engine.leases import IDLE_TTL_SECONDS
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot, State


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard(max_consumers=1)


@pytest.fixture
def slot(redis: redis_py.Redis, scoreboard: Scoreboard) -> Slot:
    """A consumer whose record will be gone in a minute."""
    slot = scoreboard.consumers[0]
    slot.pid, slot.worker_name, slot.state = os.getpid(), b"ann", State.WAITING
    register(redis, "ann")
    redis.expire("rq:worker:ann", 60)
    return slot


@pytest.fixture
def chore(redis: redis_py.Redis, scoreboard: Scoreboard) -> Heartbeats:
    return Heartbeats(script_calls(redis), scoreboard)


def beaten(redis: redis_py.Redis, chore: Heartbeats) -> bool:
    chore.run()
    return bool(redis.ttl("rq:worker:ann") > 60)


def test_an_idle_consumer_that_asks_now_and_then_needs_no_heartbeat(
    redis: redis_py.Redis, slot: Slot, chore: Heartbeats
) -> None:
    assert SAFETY_POLL_SECONDS < SILENT_SECONDS < IDLE_TTL_SECONDS - 60, "its own polls come first, its end last"
    slot.claimed_at = monotonic() - SAFETY_POLL_SECONDS
    assert not beaten(redis, chore)


def test_one_that_has_not_asked_for_long_has_one(redis: redis_py.Redis, slot: Slot, chore: Heartbeats) -> None:
    """A quiet consumer, or one whose standing claim is not answered yet."""
    slot.claimed_at = slot.spawned_at = monotonic() - SILENT_SECONDS - 1
    assert beaten(redis, chore)
    assert int(redis.hget("rq:worker:ann", "memory_mb")) > 10


def test_it_is_beaten_for_once_not_every_ten_seconds(redis: redis_py.Redis, slot: Slot, chore: Heartbeats) -> None:
    slot.claimed_at = slot.spawned_at = monotonic() - SILENT_SECONDS - 1
    chore.run()
    redis.expire("rq:worker:ann", 60)
    chore.run()
    assert redis.ttl("rq:worker:ann") <= 60


@pytest.mark.parametrize(("state", "job"), [(State.BUSY, b"job-1"), (State.CLAIMING, b""), (State.WAITING, b"job-1")])
def test_whoever_may_hold_claims_is_beaten_for_each_time(
    redis: redis_py.Redis, slot: Slot, chore: Heartbeats, state: State, job: bytes
) -> None:
    slot.claimed_at, slot.state, slot.job_id = monotonic(), state, job
    assert beaten(redis, chore)
