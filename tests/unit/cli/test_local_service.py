"""Which Redis `make run` takes for one of this machine."""

from __future__ import annotations

import pytest

from worker.cli.local_service import is_local


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("redis://localhost:6379/0", True),
        ("redis://:pw@127.0.0.1:6379", True),
        ("rediss://[::1]:6380", True),
        ("unix:///run/redis.sock", True),
        ("rediss://default:pw@eu1-x.upstash.io:6379", False),
        ("redis://localhost@evil.example:6379", False),
        ("redis://[::1", False),
    ],
)
def test_what_is_local(url: str, local: bool) -> None:
    assert is_local(url) is local
