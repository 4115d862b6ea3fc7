"""A console over real HTTP, on the tests' server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.console import Client, serving
from tests.support.server import RedisServer


@pytest.fixture
def console(server: RedisServer) -> Iterator[Client]:
    with serving(server.url) as client:
        yield client
