"""A console over real HTTP, on the tests' server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.console import Client, serving
from tests.support.server import RedisServer


@pytest.fixture
def console(server: RedisServer) -> Iterator[Client]:
    with serving(server.url) as client:
        yield client


@pytest.fixture(scope="module")  # not longer: Playwright's event loop would run through the tests of other modules
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started
