"""Children that are killed get a second look first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import processes
from tests.support.waiting import eventually
from worker.process.children import DUMP_SECONDS, Children
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot


@pytest.fixture
def slot() -> Iterator[Slot]:
    """A slot whose child sleeps, in a session of its own as children are."""
    code = "import time; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    slot = Scoreboard(max_consumers=1).consumers[0]
    slot.pid = process.pid
    yield slot
    process.kill()
    process.wait()


def children() -> Children:
    return Children(Scoreboard(max_consumers=1), {})


def test_a_child_that_outlives_its_stop_is_not_killed_at_first_sight(slot: Slot) -> None:
    """The machine may have stood still since the stop was asked."""
    looks = children()
    looks.condemn(slot, "shutdown", 100.0, silently=True)
    looks.condemn(slot, "shutdown", 100.0 + 0.9 * DUMP_SECONDS, silently=True)
    assert processes.is_alive(slot.pid)
    looks.condemn(slot, "shutdown", 100.0 + DUMP_SECONDS, silently=True)
    eventually(lambda: not processes.is_alive(slot.pid))


def test_a_child_that_was_spared_meanwhile_gets_the_time_anew(slot: Slot) -> None:
    looks = children()
    looks.condemn(slot, "shutdown", 100.0, silently=True)
    looks.spare(slot)
    looks.condemn(slot, "shutdown", 200.0, silently=True)
    assert processes.is_alive(slot.pid)
