"""What the scoreboard says about all consumers together."""

from __future__ import annotations

import pytest

from worker.process.scoreboard import Scoreboard
from worker.process.slot import State

NOW = 1000.0


@pytest.fixture
def board() -> Scoreboard:
    """Two consumers that wait, in a board for three."""
    board = Scoreboard(max_consumers=3)
    for slot in board.consumers[:2]:
        slot.pid, slot.generation, slot.state = 100 + slot.index, 1, State.WAITING
    return board


def test_the_last_claim_is_that_of_the_consumer_that_claimed_last(board: Scoreboard) -> None:
    assert board.seconds_since_claim(NOW) is None
    assert board.last_claim_at() == 0
    board.consumers[0].claimed_at, board.consumers[1].claimed_at = NOW - 30, NOW - 3
    assert board.seconds_since_claim(NOW) == 3
    assert board.last_claim_at() == NOW - 3


def test_a_consumer_that_has_died_proves_nothing_but_what_it_claimed_counts(board: Scoreboard) -> None:
    board.consumers[0].claimed_at, board.consumers[1].claimed_at = NOW - 30, NOW - 3
    board.consumers[1].pid = 0
    assert board.seconds_since_claim(NOW) == 30
    assert board.last_claim_at() == NOW - 3, "its claims may be orphans"


def test_it_is_calm_while_all_wait_and_every_queue_is_watched(board: Scoreboard) -> None:
    assert board.calm(queues_watched=True)
    assert not board.calm(queues_watched=False)
    assert board.idle() == 2
    board.consumers[0].state = State.CLAIMING
    assert not board.calm(queues_watched=True)
    assert board.idle() == 1
    board.consumers[0].pid = 0
    assert board.calm(queues_watched=True), "what a dead consumer did last is no work"


def test_successors_go_on_counting(board: Scoreboard) -> None:
    board.consumers[0].generation, board.consumers[0].finished = 3, 7
    board.consumers[1].failed, board.consumers[1].buried = 2, 1
    assert board.spawned() == 4
    assert board.ended() == 10
