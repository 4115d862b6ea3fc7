"""Batches are earned by short jobs and lost with the first long one."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from worker.consumer.prefetch import MOST, PATIENCE_SECONDS, Prefetch

SHORT = 0.0001


def learn_short(prefetch: Prefetch, batches: int) -> list[int]:
    wants = []
    for _ in range(batches):
        prefetch.learn(prefetch.want, prefetch.want * SHORT, SHORT)
        wants.append(prefetch.want)
    return wants


def test_it_begins_with_one_and_doubles_while_jobs_are_short() -> None:
    prefetch = Prefetch()
    assert prefetch.want == 1
    assert learn_short(prefetch, 8) == [2, 4, 8, 16, 32, 64, 64, 64]


def test_a_job_longer_than_the_patience_ends_it_at_once() -> None:
    prefetch = Prefetch()
    learn_short(prefetch, 8)
    prefetch.learn(MOST, (MOST - 1) * SHORT + 2.0, 2.0)
    assert prefetch.want == 1


def test_after_a_long_job_trust_comes_back_slowly() -> None:
    prefetch = Prefetch()
    learn_short(prefetch, 8)
    prefetch.learn(1, 2.0, 2.0)
    assert learn_short(prefetch, 10) == [1] * 10
    assert learn_short(prefetch, 40)[-1] == MOST


def test_jobs_that_use_half_the_patience_come_in_pairs_at_most() -> None:
    prefetch = Prefetch()
    for _ in range(20):
        prefetch.learn(prefetch.want, prefetch.want * PATIENCE_SECONDS / 2.01, PATIENCE_SECONDS / 2.01)
    assert prefetch.want == 2


def test_an_empty_batch_teaches_nothing() -> None:
    prefetch = Prefetch()
    learn_short(prefetch, 3)
    prefetch.learn(0, 0.0, 0.0)
    assert prefetch.want == 8


def test_it_can_be_turned_off() -> None:
    assert learn_short(Prefetch(most=1), 5) == [1] * 5


durations = st.lists(st.floats(0, 10), min_size=1, max_size=16)


@given(st.lists(durations, max_size=30))
def test_it_never_asks_for_more_than_the_patience_allows(batches: list[list[float]]) -> None:
    prefetch = Prefetch()
    for batch in batches:
        before = prefetch.want
        prefetch.learn(len(batch), sum(batch), max(batch))
        assert 1 <= prefetch.want <= min(MOST, 2 * before)
        if max(batch) > PATIENCE_SECONDS:
            assert prefetch.want == 1


@given(st.floats(1e-6, 1), st.integers(10, 40))
def test_a_steady_batch_fits_into_the_patience(seconds: float, batches: int) -> None:
    prefetch = Prefetch()
    for _ in range(batches):
        prefetch.learn(prefetch.want, prefetch.want * seconds, seconds)
    assert prefetch.want == 1 or prefetch.want * seconds <= PATIENCE_SECONDS * 1.0001
