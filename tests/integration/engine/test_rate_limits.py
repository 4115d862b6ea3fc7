"""Whatever is refused while a place under a rate limit goes to the next job, that job stands somewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.rate_limit import RateLimit, RateLimitRegistry

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.worker import consumer
from worker.engine import rate_limits

COMMANDS = ("zcard", "zrange", "hmget", "zadd", "rpush", "hset", "zrem")


@pytest.fixture(autouse=True)
def _mended() -> None:
    rate_limits.mend()
    rate_limits.mend()  # twice is no harm


@pytest.fixture
def waiting(queue: Queue) -> list[Job]:
    """Three jobs of which one may run."""
    limit = RateLimit("shop", 1)
    return [queue.enqueue(tasks.add, number, 1, rate_limit=limit) for number in range(3)]


@pytest.fixture
def narrow(server: RedisServer, redis: redis_py.Redis) -> Iterator[redis_py.Redis]:
    """A client whose rights a test takes away."""
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">pw", "~*", "&*", "+@all")
    with redis_py.Redis(port=server.port, username="narrow", password="pw") as client:
        yield client
    redis.execute_command("ACL", "DELUSER", "narrow")


def places(redis: redis_py.Redis, job: Job) -> list[str]:
    found = ["queue"] * redis.lrange("rq:queue:default", 0, -1).count(job.id.encode())
    return found + ["waits"] * (redis.zscore("rq:rl:shop:rate_limited", job.id) is not None)


def runs_whole(redis: redis_py.Redis, jobs: list[Job]) -> None:
    """With room and rights again all jobs end well, by what a worker and its upkeep do."""
    RateLimitRegistry("shop", redis).cleanup()
    for _ in jobs:
        consumer(redis).work(burst=True)
        RateLimitRegistry("shop", redis).cleanup()
    assert [job.return_value(refresh=True) for job in jobs] == [1, 2, 3]
    assert redis.keys("rq:rl*") == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_right_that_is_missing_in_the_middle_loses_no_job(
    redis: redis_py.Redis, narrow: redis_py.Redis, waiting: list[Job], command: str
) -> None:
    first, *others = waiting
    redis.lrem("rq:queue:default", 1, first.id)  # it runs, and ends
    redis.hset(first.key, "status", "failed")
    redis.execute_command("ACL", "SETUSER", "narrow", f"-{command}")
    with pytest.raises(RedisError):
        RateLimitRegistry("shop", narrow).release_and_enqueue(first.id)
    assert all(places(redis, job) in (["waits"], ["queue", "waits"]) for job in others)
    RateLimitRegistry("shop", redis).release_and_enqueue(first.id)
    RateLimitRegistry("shop", redis).cleanup()
    assert sorted(places(redis, job) for job in others) == [["queue"], ["waits"]]
    redis.hset(first.key, "status", "queued")
    redis.rpush("rq:queue:default", first.id)
    runs_whole(redis, waiting)
