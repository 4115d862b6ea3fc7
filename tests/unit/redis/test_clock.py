"""The server's clock between two replies: it goes on, and a step is told from a slow answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from time import monotonic

import pytest

from worker.redis.clock import STEP_SECONDS, ServerClock


class Heard:
    """A clock, and the steps that it has noticed."""

    def __init__(self) -> None:
        self.clock = ServerClock()
        self.steps: list[float] = []
        self.clock.on_step = self.steps.append


def test_until_the_first_reply_it_is_our_own() -> None:
    clock = ServerClock()
    assert abs(clock.now() - time.time()) < 60
    assert clock.latest() == float("inf")
    assert clock.stepped_at == clock.set_forth_at == float("-inf")


@pytest.mark.parametrize("wrong", [-86_400.0, 86_400.0])
def test_it_goes_on_from_the_last_reply_whatever_our_own_says(wrong: float) -> None:
    heard = Heard()
    heard.clock.hear(time.time() + wrong, monotonic())
    assert abs(heard.clock.now() - time.time() - wrong) < 60
    assert abs((heard.clock.today() - datetime.now(UTC)).total_seconds() - wrong) < 60
    assert heard.steps == [], "the first reply shows no step"


@pytest.mark.parametrize("step", [-3600.0, 3600.0, -2 * STEP_SECONDS, 2 * STEP_SECONDS])
def test_a_step_is_noticed_once_and_by_how_much(step: float) -> None:
    heard = Heard()
    began = monotonic()
    heard.clock.hear(1_000_000.0, began)
    heard.clock.hear(1_000_000.0 + step, monotonic())
    heard.clock.hear(1_000_000.0 + step, monotonic())
    (seen,) = heard.steps
    assert abs(seen - step) < 1
    assert heard.clock.stepped_at >= began
    assert (heard.clock.set_forth_at >= began) is (step > 0)


def test_an_answer_that_was_long_on_its_way_is_no_step() -> None:
    heard = Heard()
    heard.clock.hear(1_000_000.0, monotonic() - 30)  # it may be of any moment in these 30 s
    heard.clock.hear(1_000_029.0, monotonic())
    heard.clock.hear(1_000_001.0, monotonic() - 28)
    assert heard.steps == []
    assert heard.clock.latest() >= heard.clock.now() + STEP_SECONDS
