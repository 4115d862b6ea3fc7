"""Servers for tests: one for the session, flushed between tests, and private ones for tests that break theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from hypothesis import HealthCheck, settings

from tests.support.server import RedisServer

pytest_plugins = ("tests.support.leaks", "tests.support.reports", "tests.support.log_config")

# How long an example takes is the machine's affair: hypothesis fails one of 0.2 s otherwise, and slow drawing.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


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
def own_server() -> Iterator[RedisServer]:
    """A server with an append-only file, for tests that kill, freeze or restart it."""
    with RedisServer(aof=True) as server:
        yield server
