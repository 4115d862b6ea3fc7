"""Histograms that can be added, and what is read from them."""

from __future__ import annotations

import random

import pytest

from worker.tallies import ENDS, LAST, Tally, bucket, quantile, total


@pytest.mark.parametrize(
    ("seconds", "number"),
    [(-1.0, 0), (0.0, 0), (0.0009, 0), (0.001, 1), (0.00149, 1), (0.0016, 2), (1.0, 18), (3600.0, 38), (1e9, LAST)],
)
def test_a_time_is_in_the_bucket_that_ends_above_it(seconds: float, number: int) -> None:
    assert bucket(seconds) == number
    assert number == LAST or seconds < ENDS[number]
    assert number == 0 or ENDS[number - 1] <= seconds


def test_a_tally_is_read_back_from_its_text_and_added() -> None:
    one = Tally(13, 2, 1, run={3: 10, 0: 3}, wait={38: 1})
    assert one.text() == "p=13 f=2 b=1 r0=3 r3=10 w38=1"
    assert Tally.read(one.text()) == one
    assert Tally.read(f"{one.text()} {one.text()}") == total([one, one])
    assert Tally.read("x=1 r99=1 r=2 p=-1 \x00 p=2") == Tally(2), "what is no part of it is left out"


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_a_quarter_off_at_most(seed: int) -> None:
    dice = random.Random(seed)
    times = sorted(dice.lognormvariate(dice.uniform(-5, 3), 1.0) for _ in range(5000))
    histogram: dict[int, int] = {}
    for seconds in times:
        histogram[bucket(seconds)] = histogram.get(bucket(seconds), 0) + 1
    for share in (0.5, 0.95, 0.99):
        exact = times[int(share * len(times))]
        found = quantile(histogram, share)
        assert found is not None
        assert abs(found - exact) < exact / 4 + 0.001
    assert quantile({}, 0.5) is None
    assert quantile({LAST: 3}, 0.99) == ENDS[-1]
