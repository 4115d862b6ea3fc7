"""A short storm in every run; long ones are for `make storm`."""

from __future__ import annotations

import pytest

from tests.faults.storm import storm


@pytest.mark.parametrize("seed", [1, 2026])
def test_no_accepted_job_is_lost_in_a_storm(seed: int) -> None:
    report = storm(12, seed)
    print(report)
    assert report.accepted == report.finished + report.dead
    assert report.accepted > 500
    assert report.blows.total() > 8
    assert report.unexplained == []
