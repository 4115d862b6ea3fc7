"""Waits between tries."""

from __future__ import annotations

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.backoff import exponential, full_jitter


def test_the_longest_wait_doubles_from_base_up_to_the_cap() -> None:
    assert [exponential(attempt, base=1.0, cap=10.0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_attempts_below_one_wait_like_the_first() -> None:
    assert exponential(0, base=3.0, cap=10.0) == exponential(-5, base=3.0, cap=10.0) == 3.0


def test_a_base_above_the_cap_is_cut_to_it() -> None:
    assert exponential(1, base=60.0, cap=5.0) == 5.0


@settings(deadline=None)
@given(st.integers(1, 10**9), st.floats(0, 1e6), st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_finite_and_within_the_window(attempt: int, base: float, cap: float, drawn: float) -> None:
    wait = full_jitter(attempt, base=base, cap=cap, rng=lambda: drawn)
    assert math.isfinite(wait)
    assert 0 <= wait <= exponential(attempt, base=base, cap=cap) <= cap


def test_jitter_is_spread_over_the_whole_window() -> None:
    rng = random.Random(7).random
    waits = [full_jitter(4, base=1.0, cap=100.0, rng=rng) for _ in range(4000)]
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert 3.8 < sum(waits) / len(waits) < 4.2


def test_the_default_generator_differs_from_call_to_call() -> None:
    assert len({full_jitter(9, base=1.0, cap=500.0) for _ in range(20)}) == 20
