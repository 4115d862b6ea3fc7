"""A short soak in each `make test-all`; long ones are for `make soak`."""

from __future__ import annotations

import pytest

from tests.faults.soak import soak


@pytest.mark.slow
def test_random_faults_of_redis_lose_no_job_and_end_no_process() -> None:
    report = soak(45, seed=5)
    print(report)
    assert report.jobs > 20
    assert sum(map(len, report.recoveries.values())) > 3
