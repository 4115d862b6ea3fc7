"""pytest hooks: a run that leaves a process behind fails, and says which."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.waiting import eventually

#: In the environment of everything that the tests start; pytest itself does not carry it.
MARK = "TEST_SESSION_MARK"
#: What was just told to end may take so long.
GRACE_SECONDS = 10.0


def pytest_configure() -> None:
    """Mark what this run starts."""
    os.environ[MARK] = uuid.uuid4().hex


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the last fixture is torn down: nothing of this run may live."""
    try:
        eventually(lambda: not left_behind(), GRACE_SECONDS)
    except AssertionError:
        left = left_behind()
        print("\nProcesses that the tests left behind, killed now:")
        for pid in left:
            print(f"  {pid}: {_command(pid)}")
        processes.kill_all(left)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def left_behind() -> list[int]:
    """Return the living processes that this run started."""
    return processes.with_environment(MARK, os.environ[MARK])


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone meanwhile"
