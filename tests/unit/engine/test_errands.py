"""Errands run beside whoever submits them, and at the end each is done or told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.support.waiting import PATIENCE_SECONDS, eventually
from worker.engine.errands import MOST_THREADS, MOST_WAITING, Errands
from worker.process.wakeup import readable


class Gated:
    """An errand that ends when its gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.process = 0
        self.forgone = False

    def run(self, _errands: Errands) -> None:
        self.begun.set()
        assert self.gate.wait(PATIENCE_SECONDS)
        self.process = os.getpid()

    def forgo(self) -> None:
        self.forgone = True


@pytest.fixture
def counts() -> list[int]:
    return []


@pytest.fixture
def errands(counts: list[int]) -> Iterator[Errands]:
    made = Errands(counts.append)
    yield made
    made.forgo()
    made.close()


def threads() -> int:
    return sum(thread.name == "errands" for thread in threading.enumerate())


def test_they_run_beside_their_submitter_and_leave_no_thread(errands: Errands, counts: list[int]) -> None:
    assert errands.idle
    slow, quick = Gated(), Gated()
    quick.gate.set()
    errands.submit(slow)
    errands.submit(quick)
    eventually(lambda: quick.process)
    assert not errands.idle
    assert slow.process == 0
    slow.gate.set()
    assert readable([errands.fileno()], PATIENCE_SECONDS) == [errands.fileno()]
    eventually(lambda: errands.idle and not threads())
    errands.answer()
    assert readable([errands.fileno()], 0) == []
    assert (counts[0], counts[-1], max(counts)) == (0, 0, 2)


def test_those_beyond_the_threads_wait_until_there_are_too_many(errands: Errands) -> None:
    gated = [Gated() for _ in range(MOST_THREADS + MOST_WAITING)]
    for one in gated[:-1]:
        errands.submit(one)
    eventually(lambda: all(one.begun.is_set() for one in gated[:MOST_THREADS]))
    assert not errands.full
    errands.submit(gated[-1])
    assert errands.full
    assert threads() == MOST_THREADS
    for one in gated:
        one.gate.set()
    eventually(lambda: errands.idle)
    assert all(one.process for one in gated)


def test_those_of_one_line_follow_each_other(errands: Errands) -> None:
    first, second, other = Gated(), Gated(), Gated()
    for errand, line in ((first, "a"), (second, "a"), (other, "b")):
        errands.submit(errand, line)
    other.gate.set()
    eventually(lambda: other.process)
    assert not second.begun.is_set()
    second.gate.set()
    first.gate.set()
    eventually(lambda: errands.idle)
    assert first.process
    assert second.process
    again = Gated()
    again.gate.set()
    errands.submit(again, "a")
    eventually(lambda: again.process)


def test_at_the_end_each_that_is_not_done_is_told(errands: Errands) -> None:
    gated = [Gated() for _ in range(MOST_THREADS + 2)]
    for number, one in enumerate(gated):
        errands.submit(one, "line" if number in (0, MOST_THREADS) else "")
    eventually(lambda: sum(one.begun.is_set() for one in gated) == MOST_THREADS)
    with capture_logs() as logs:
        errands.forgo()
    assert [one.forgone for one in gated] == [False] * MOST_THREADS + [True] * 2
    assert [(line["event"], line["errands"]) for line in logs] == [("errands.left_behind", MOST_THREADS)]
    for one in gated:
        one.gate.set()
    eventually(lambda: errands.idle)


def test_one_that_fails_harms_none(errands: Errands) -> None:
    class Broken(Gated):
        def run(self, _errands: Errands) -> None:
            raise LookupError("a fault of ours")

    other = Gated()
    other.gate.set()
    with capture_logs() as logs:
        errands.submit(Broken())
        errands.submit(other)
        eventually(lambda: errands.idle)
    assert other.process
    assert [line["event"] for line in logs] == ["errand.failed"]


def test_a_fork_does_its_own_itself(errands: Errands) -> None:
    errand = Gated()
    errand.gate.set()
    pid = os.fork()
    if pid == 0:
        errands.submit(errand)
        os._exit(0 if errand.process == os.getpid() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert errands.idle
