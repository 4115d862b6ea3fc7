"""A memory limit is refused where a consumer needs more before it has done anything."""

from __future__ import annotations

import pytest

from worker.consumer import cannot_serve
from worker.consumer.cannot_serve import FIRST_JOBS_MB, MemoryLimitTooLow, check_memory_limit
from worker.exits import Exit


def test_a_limit_needs_room_for_the_first_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cannot_serve, "resident_mb", lambda _pid: 60)
    check_memory_limit(0)
    check_memory_limit(60 + FIRST_JOBS_MB)
    with pytest.raises(MemoryLimitTooLow, match="WORKER_MAX_MEMORY_MB is 69, and a consumer needs 60 MB") as raised:
        check_memory_limit(60 + FIRST_JOBS_MB - 1)
    assert "Set it to 105 or more" in str(raised.value)
    assert raised.value.exit == Exit.SETTINGS
