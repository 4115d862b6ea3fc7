"""What the commands' tests share."""

from __future__ import annotations

import pytest

from tests.support.server import RedisServer


@pytest.fixture
def url(server: RedisServer) -> str:
    return server.url
