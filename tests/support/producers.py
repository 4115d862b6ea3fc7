"""Producers for tests, over the REST stub and over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis as redis_py
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from producer import Producer
from tests.support.rest_stub import TOKEN, RestStub
from tests.support.server import RedisServer


def rest_environment(stub: RestStub) -> dict[str, str]:
    """What a function's environment holds."""
    return {"UPSTASH_REDIS_REST_URL": stub.url, "UPSTASH_REDIS_REST_TOKEN": TOKEN}


@contextmanager
def over_rest(stub: RestStub, seconds: float = 30.0) -> Iterator[Producer]:
    """A producer that talks to the stub."""
    with Producer.from_environment(rest_environment(stub), seconds=seconds) as producer:
        yield producer


@contextmanager
def over_tcp(server: RedisServer, seconds: float = 30.0) -> Iterator[Producer]:
    """A producer that talks to the server."""
    with Producer.from_environment({"REDIS_URL": server.url}, seconds=seconds) as producer:
        yield producer


def work_by_rq(redis: redis_py.Redis) -> None:
    """Let RQ's own worker do what is on `default`; producers write JSON."""
    SimpleWorker(["default"], connection=redis, serializer=JSONSerializer).work(burst=True)
