"""Short storms in each `make test-all`; long ones are for `make storm`."""

from __future__ import annotations

import pytest

from tests.faults.storm.run import storm


@pytest.mark.slow
@pytest.mark.parametrize(("queues", "threads", "seed"), [(2, 1, 1), (1, 1, 3), (2, 4, 7)])
def test_no_accepted_job_is_lost_in_a_storm(queues: int, threads: int, seed: int) -> None:
    report = storm(20, seed, queues=queues, threads=threads)
    print(report)
    assert report.faults == []
    assert report.accepted.total() == report.finished + report.gone + report.letters.total()
    assert report.blows.total() > 3
