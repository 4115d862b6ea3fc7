"""A small burst: the fleet grows by the wait of the oldest job, and shrinks when it is idle."""

from __future__ import annotations

import pytest

from tests.faults.burst import burst


@pytest.mark.slow
def test_a_burst_is_met_with_instances_that_go_when_it_is_over() -> None:
    trace = burst(60)
    print(trace.changes)
    assert trace.most >= 2
    directions = [after - before for _, before, after, _ in trace.changes]
    assert directions == sorted(directions, reverse=True), "out, then in, and never to and fro"
    assert sum(directions) == 0
    assert "longer than 5 s" in trace.changes[0][3]
    assert "Nothing has waited or run for" in trace.changes[-1][3]
    assert set(trace.exit_codes) == {0}
