"""When the server's clock has stepped, what waits comes when it would have come."""

from __future__ import annotations

import redis as redis_py

from tests.support.engine import script_calls
from worker.dispatcher.clock import ClockWatch
from worker.redis.clock import Step

HOUR = 3600


def now(redis: redis_py.Redis) -> int:
    return int(redis.time()[0])


def follow(redis: redis_py.Redis, seconds: float) -> None:
    """Let an instance notice a step that has happened since it heard the time a second ago."""
    calls = script_calls(redis)
    calls.clock.steps.append(Step(seconds, now(redis) - seconds - 1.0))
    watch = ClockWatch(calls, ["default", "high"], ["each two hours"], asks=False)
    assert watch.due == 0.0
    watch.run()
    assert watch.due == float("inf")


def dates(redis: redis_py.Redis) -> dict[str, float]:
    found = {job_id.decode(): date for job_id, date in redis.zrange("rq:scheduled:default", 0, -1, withscores=True)}
    for line, value in redis.hgetall("rq:cron-runs").items():
        found[line.decode()] = float(value.split(b"|")[0])
    for paused, value in redis.hgetall("rq:paused").items():
        found[paused.decode()] = float(value.split()[0])
    return found


def test_dates_step_with_the_clock_once_whoever_notices_and_back_again(redis: redis_py.Redis) -> None:
    began = now(redis)
    old = began + HOUR  # the time before the step
    redis.hset("rq:job:retried", "started_at", "2026-11-25T04:37:30.000000Z")
    redis.hset("rq:job:new", "started_at", "")
    redis.zadd("rq:scheduled:default", {"retried": old + 20, "new": old + 30, "tomorrow": old + 86_400})
    redis.hset("rq:cron-runs", mapping={"each two hours": f"{old - 5000}.5|{old - 5000}.5", "expression": f"{old}|"})
    redis.hset("rq:paused", mapping={"f default": f"{old + 600} {{}}", "g ": "0 {}"})
    before = dates(redis)
    follow(redis, -HOUR)
    after = dates(redis)
    kept = {"expression": old, "g ": 0}
    assert after == {name: date - HOUR for name, date in before.items()} | kept
    follow(redis, -HOUR)
    assert dates(redis) == after, "another instance had noticed it, too"

    redis.zadd("rq:scheduled:default", {"by its producer's clock": old + 50, "new": old + 60})
    redis.hset("rq:clock", mapping=dict.fromkeys(redis.hkeys("rq:clock"), began - HOUR))
    before = dates(redis)
    follow(redis, HOUR)
    kept |= {"by its producer's clock": old + 50, "new": old + 60}
    assert dates(redis) == {name: date + HOUR for name, date in before.items()} | kept


def test_an_interval_that_has_fired_by_the_new_clock_stays(redis: redis_py.Redis) -> None:
    redis.hset("rq:cron-runs", "each two hours", f"{now(redis) - 5}|")
    before = dates(redis)
    follow(redis, -HOUR)
    assert dates(redis) == before
