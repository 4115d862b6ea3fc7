"""A service under load follows its primary, whatever happens to that: see docs/failover.md for how soon."""

from __future__ import annotations

from pathlib import Path

from tests.faults.failovers import KINDS, Trial, table
from tests.support.sentinels import Guarded


def test_nothing_is_lost_when_the_primary_is_switched_killed_or_frozen(tmp_path: Path) -> None:
    with Guarded() as guarded:
        trial = Trial(guarded, tmp_path)
        with trial.running():
            rows = [trial.fail_over(kind) for kind in ("switch", "kill", "freeze")]
        assert {row.kind for row in rows} == set(KINDS)
        codes = set().union(*(row.codes for row in rows))
        assert codes <= {"failover", "primary_away", "reset", "read_only", "read_timeout"}, codes
        print(table(rows))
