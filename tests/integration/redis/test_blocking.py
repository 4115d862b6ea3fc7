"""No call of a script takes on more than some thousand commands, however much there is to do; the rest comes next.

How long they take at full size, `python -m bench.blocking` shows.
"""

from __future__ import annotations

import pytest
import redis as redis_py

from bench.blocking import Sizes, measure
from tests.support.engine import desk, enqueue, register, script_calls
from worker.engine.leases import LEASE_SECONDS, heartbeat, orphans

#: More than a page of each kind.
SIZES = Sizes(letters=0, workers=6, claims=200, scheduled=450, parents=0, queued=0)
MOST_COMMANDS = 2_500


@pytest.mark.parametrize(
    ("case", "script"), [("heartbeats", "heartbeat"), ("orphans", "orphans"), ("schedule", "move_due")]
)
def test_a_call_is_bounded_by_its_number_of_commands(case: str, script: str) -> None:
    (row,) = measure(case, SIZES)
    print(row)
    assert row.script == script
    assert row.calls > 1
    assert row.commands <= MOST_COMMANDS


def test_claims_in_very_many_hands_are_kept_alive_one_after_the_other(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", *(f"j{number}" for number in range(250)))
    register(redis, "ann")
    ann = desk(redis)
    ann.settle_and_claim([], 250)
    records = redis.keys("rq:execution:*")
    assert len(records) == 250

    def fresh() -> int:
        return sum(redis.ttl(record) > LEASE_SECONDS - 60 for record in records)

    def age(seconds: int) -> None:
        for record in records:
            redis.expire(record, seconds)

    age(LEASE_SECONDS - 100)
    kept = []
    for _ in range(4):
        heartbeat(ann, ["ann"])
        kept.append(fresh())
    assert kept == [100, 200, 250, 250]
    age(60)
    heartbeat(ann, ["ann"])
    assert fresh() == 250, "what would end soon does not wait"


def test_orphans_are_found_on_every_page(redis: redis_py.Redis) -> None:
    enqueue(redis, "high", *(f"h{number}" for number in range(600)))
    enqueue(redis, "default", *(f"d{number}" for number in range(1500)))
    claimed = {"ann": 900, "dead": 700, "gone": 500}
    for name, count in claimed.items():
        register(redis, name)
        desk(redis, name).settle_and_claim([], count)
    redis.delete("rq:worker:dead", "rq:worker:gone")
    found = orphans(script_calls(redis), ["high", "default"])
    assert (sorted(found.dead), found.living) == (["dead", "gone"], 900)
    for name in ("dead", "gone"):
        assert redis.scard(f"rq:worker:{name}:executions") == claimed[name]
