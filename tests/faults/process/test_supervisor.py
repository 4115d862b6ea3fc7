"""The supervisor by itself, with children of two lines: stuck ones, and ones that never boot."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.support.service import ROOT
from tests.support.waiting import SLACK_SECONDS

PRELUDE = """
import sys, time
from worker import logs
from worker.process import overdue, signals, supervisor
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Role, State
logs.configure("INFO", "json")
board = Scoreboard()
overdue.STALL_SECONDS = 6.0
"""


def run(code: str, *, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def test_a_child_whose_loop_does_not_turn_dumps_its_stacks_and_is_replaced() -> None:
    told = run("""
def get_stuck_here():
    while True: time.sleep(100)
def main(slot):
    child = signals.Child()
    if slot.generation > 1:
        slot.tick(State.SERVING)
        import os, signal
        os.kill(os.getppid(), signal.SIGTERM)
        while not child.stopping: child.wait(1)
        return 0
    slot.tick(State.WAITING)
    get_stuck_here()
sys.exit(supervisor.Supervisor(board, {Role.CONSUMER: main}, consumers=1, grace=1).run())
""")
    assert told.returncode == 0, told.stderr
    assert '"reason": "stalled"' in told.stdout
    assert "get_stuck_here" in told.stderr
    assert told.stdout.count("child.spawned") == 2


def test_a_busy_child_is_never_stuck_while_its_job_may_run() -> None:
    told = run("""
def main(slot):
    child = signals.Child()
    slot.begin_job("a-job", "w1", timeout=0)  # no timeout at all
    time.sleep(8)
    import os, signal
    os.kill(os.getppid(), signal.SIGTERM)
    while not child.stopping: child.wait(1)
    return 0
sys.exit(supervisor.Supervisor(board, {Role.CONSUMER: main}, consumers=1, grace=1).run())
""")
    assert told.returncode == 0, told.stderr
    assert "child.overdue" not in told.stdout


@pytest.mark.parametrize("death", ["raise RuntimeError('no')", "import os; os.abort()", "return 3"])
def test_children_that_never_boot_end_the_service_with_its_own_code(death: str) -> None:
    began = time.monotonic()
    told = run(f"""
def main(slot):
    {death}
sys.exit(supervisor.Supervisor(board, {{Role.CONSUMER: main}}, consumers=2, grace=1).run())
""")
    assert told.returncode == 71, told.stdout
    assert "service.giving_up" in told.stdout
    assert told.stdout.count("child.spawned") <= 8, "respawn has backoff"
    assert time.monotonic() - began < 15 + SLACK_SECONDS
