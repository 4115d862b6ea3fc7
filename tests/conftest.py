"""What tests of every level share: Redis servers, and stand-ins for a shop, Upstash and a certificate authority."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from hypothesis import HealthCheck, settings
from rq import Queue

from tests.support import warm
from tests.support.broken import Authority
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.shop import Shop

pytest_plugins = ("tests.support.leaks", "tests.support.reports", "tests.support.log_config")

# How long an example takes is the machine's affair: hypothesis fails one of 0.2 s otherwise, and slow drawing.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(scope="session", autouse=True)
def _no_warm_interpreter_is_left() -> Iterator[None]:
    yield
    warm.close()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> Iterator[RedisServer]:
    """A server without data, for tests that leave it running."""
    shared_server.flush()
    yield shared_server
    shared_server.flush()


@pytest.fixture
def redis(server: RedisServer) -> Iterator[redis_py.Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def queue(redis: redis_py.Redis) -> Queue:
    return Queue("default", connection=redis)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server with an append-only file, for tests that kill, freeze or restart it."""
    with RedisServer(aof=True) as server:
        yield server


@pytest.fixture
def stub(server: RedisServer) -> Iterator[RestStub]:
    """Upstash's REST API in front of the server."""
    with RestStub(server.port) as stub:
        yield stub


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A web server without pages."""
    with Shop() as shop:
        yield shop


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody knows but by its file."""
    return Authority(tmp_path_factory.mktemp("tls"))
