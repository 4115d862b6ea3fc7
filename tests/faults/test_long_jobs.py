"""Long jobs survive deploys and kills: a job that keeps its steps ends, and repeats at most one for each kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.long_job import ride
from tests.support.server import RedisServer

#: Fewer than the blows of this test: what buries a job that gets nowhere must not bury one that gets on.
NARROW = {"WORKER_MAX_CRASHES": "3", "WORKER_MAX_HANDBACKS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_job_under_a_deploy_or_a_kill_every_few_seconds_ends_and_repeats_one_step_a_kill_at_most(
    server: RedisServer, tmp_path: Path, threads: str
) -> None:
    path = tmp_path / "journal"
    kinds = ("kill consumer", "deploy")
    told = ride(server, path, seconds=40, every=2.0, unit=0.5, kinds=kinds, WORKER_THREADS=threads, **NARROW)
    print(told)
    assert told.status == "finished"
    assert len(told.begun) == told.units
    assert told.blows["kill consumer"] > 3, "WORKER_MAX_CRASHES"
    assert told.blows["deploy"] > 2, "WORKER_MAX_HANDBACKS"
    assert told.repeated <= told.blows["kill consumer"], "a deploy repeats nothing"
    assert max(told.begun.values()) <= 3
    assert max(told.stops) < 30, "the grace of two minutes was not waited for"
