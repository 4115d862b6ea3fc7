"""The table of what reaches the next job is what jobs of the real service find."""

from __future__ import annotations

from tests.support import isolation_page
from tests.support.server import RedisServer
from tests.support.trouble_page import part


def test_the_table_is_what_jobs_find(server: RedisServer) -> None:
    found = isolation_page.table(server)
    assert part(isolation_page.PAGE.read_text(), "table") == found, "python -m tests.support.isolation_page renews it"
