"""A short rehearsal in each `make test-all`; long ones are for `make rehearsal`."""

from __future__ import annotations

import pytest

from tests.faults.rehearsal import GRACE_SECONDS, rehearse
from tests.support.waiting import SLACK_SECONDS


@pytest.mark.slow
def test_two_deploys_under_load_lose_bury_and_repeat_nothing() -> None:
    report = rehearse(rounds=2, seed=2026, pause=2.0)
    print(report)
    assert report.wrong_runs == []
    assert report.clean, report
    assert report.accepted > 200
    assert report.waited_for_release > 0
    assert report.interrupted > 0
    assert max(report.drains) < GRACE_SECONDS + 8 + SLACK_SECONDS
