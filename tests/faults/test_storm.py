"""A short storm in each `make test-all`; long ones are for `make storm`."""

from __future__ import annotations

import pytest

from tests.faults.storm import storm


@pytest.mark.slow
@pytest.mark.parametrize(("queues", "threads", "seed"), [(2, 1, 1), (1, 1, 3), (2, 4, 7)])
def test_no_accepted_job_is_lost_in_a_storm(queues: int, threads: int, seed: int) -> None:
    report = storm(12, seed, queues=queues, threads=threads)
    print(report)
    assert report.accepted == report.finished + report.dead
    assert report.accepted > 100
    assert report.blows.total() > 3
    assert report.unexplained == []
