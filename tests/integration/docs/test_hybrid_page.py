"""docs/hybrid.md: the narrow Redis user for functions can do all that producers do, and no harm beyond it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis as redis_py

from producer import Call, Debounce, Producer, RateLimit, RateLimited, Throttle
from tests.support.server import RedisServer

PAGE = Path(__file__).parents[3] / "docs" / "hybrid.md"
SETUSER = re.search(r"^ACL SETUSER .*$", PAGE.read_text(), flags=re.M)
FUNCTION = "tests.support.tasks.add"


@pytest.fixture
def url(server: RedisServer, redis: redis_py.Redis) -> Iterator[str]:
    assert SETUSER is not None
    redis.execute_command(*shlex.split(SETUSER[0].replace("<token>", "a-token").replace("><", ">")))
    where = urlsplit(server.url)
    yield where._replace(netloc=f"functions:a-token@{where.hostname}:{where.port}").geturl()
    redis.acl_deluser("functions")


def test_it_can_do_what_producers_do(url: str, redis: redis_py.Redis) -> None:
    with Producer.from_environment({"REDIS_URL": url}, seconds=30) as producer:
        one = producer.enqueue(FUNCTION, 1, 2, ttl=60, callback_url="https://receiver.example/")
        producer.enqueue(FUNCTION, 1, 2, at_front=True)
        limit = RateLimit("shop", 1)
        producer.enqueue_many(
            [
                Call(FUNCTION, 1, delay=100, group="mail"),
                Call(FUNCTION, 1, depends_on=one.id, ttl=60),
                Call(FUNCTION, 1, job_id="first", rate_limit=limit),
                Call(FUNCTION, 1, rate_limit=limit),
                *(Call(FUNCTION, 1, debounce=Debounce(key, 60)) for key in ("a", "b")),
                Call(FUNCTION, 1, throttle=Throttle("a", 60)),
                Call(FUNCTION, 1, idempotency_key="a"),
            ]
        )
        producer.enqueue(FUNCTION, 1, debounce=Debounce("a", 60))
        assert producer.cancel("first") == "canceled"
        assert producer.status(one.id).status == "queued"
        assert producer.log(one) == []
        assert producer.status(one.id, limit=("me", 1, 60)).status == "queued"
        with pytest.raises(RateLimited):
            producer.status(one.id, limit=("me", 1, 60))
        redis.hset(f"rq:job:{one.id}", mapping={"status": "failed", "ended_at": "2026-01-01T00:00:00.000000Z"})
        again = producer.enqueue(FUNCTION, 1, 2, job_id=one.id, rerun_after=1, callback_url="https://receiver.example/")
        assert again.created
        redis.zadd(f"rq:executions:{one.id}", {"run": 1})
        assert producer.cancel(one.id) == "canceled"
        ask: dict[str, Any] = {"unique": "sum", "cache_key": "sum", "freshness": 1, "limit": ("me", 9, 60)}
        assert producer.ask(FUNCTION, 1, **ask).job is not None
        redis.set("rq:cache:sum", "3", ex=60)
        assert producer.ask(FUNCTION, 1, **ask).value == 3


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "GET rq:workers",
        "GET secrets",
        "DEL rq:queue:default",
        "CONFIG GET *",
        "PUBLISH rq:pubsub:one {}",
        "SHUTDOWN",
        "ACL LIST",
        "SET rq:suspended 1",
        "HGETALL rq:worker:one",
    ],
)
def test_it_can_do_nothing_else(url: str, command: str) -> None:
    with redis_py.Redis.from_url(url) as client, pytest.raises(redis_py.exceptions.NoPermissionError):
        client.execute_command(*command.split())
