"""When a successor may come, and when none would help."""

from __future__ import annotations

import math

import pytest

from worker import backoff
from worker.process.respawn import BOOT_ATTEMPTS, RESPAWN_CAP_SECONDS, YOUNG_SECONDS, Respawn
from worker.process.scoreboard import Scoreboard

NOW = 1000.0
BOARD = Scoreboard(max_consumers=2)
ONE, OTHER = BOARD.consumers


@pytest.fixture(autouse=True)
def longest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "full_jitter", backoff.exponential)


def deaths(respawn: Respawn, count: int, *, lived: float = 0.0, booted: bool = True) -> list[float]:
    """Let children of one slot die one after the other; return how long each successor has to wait."""
    waits = []
    for _ in range(count):
        respawn.note_death(ONE, NOW, lived=lived, booted=booted)
        waits.append(respawn.due(ONE) - NOW)
    return waits


def test_the_first_successor_comes_at_once_and_later_ones_later_and_later() -> None:
    assert deaths(Respawn(), 5) == [0, 0.25, 0.5, 1, 2]
    assert deaths(Respawn(), 100)[-1] == RESPAWN_CAP_SECONDS


def test_children_that_lived_long_are_replaced_at_once() -> None:
    assert deaths(Respawn(), 5, lived=YOUNG_SECONDS) == [0, 0, 0, 0, 0]


def test_an_end_that_was_meant_begins_the_count_anew() -> None:
    respawn = Respawn()
    deaths(respawn, 5)
    respawn.note_end(ONE)
    assert deaths(respawn, 2) == [0, 0.25]


def test_slots_do_not_wait_for_each_other() -> None:
    respawn = Respawn()
    deaths(respawn, 3)
    assert respawn.due(OTHER) == 0
    assert respawn.due(BOARD.dispatcher) == 0, "it has the same index as the consumer that died"


def test_boots_that_fail_in_a_row_are_hopeless_whichever_slot_they_are_of() -> None:
    respawn = Respawn()
    for attempt in range(BOOT_ATTEMPTS):
        assert not respawn.hopeless
        respawn.note_death((ONE, OTHER)[attempt % 2], NOW, lived=0, booted=False)
    assert respawn.hopeless


def test_one_child_that_works_before_it_dies_gives_hope() -> None:
    respawn = Respawn()
    deaths(respawn, BOOT_ATTEMPTS - 1, booted=False)
    deaths(respawn, 1, booted=True)
    deaths(respawn, BOOT_ATTEMPTS - 1, booted=False)
    assert not respawn.hopeless


def test_the_next_moment_is_the_first_one_that_is_not_over() -> None:
    respawn = Respawn()
    assert respawn.next_due(NOW) == math.inf
    deaths(respawn, 4)
    respawn.note_death(OTHER, NOW - 5, lived=0, booted=True)
    assert respawn.next_due(NOW) == NOW + 1
    assert respawn.next_due(NOW + 1) == math.inf
