"""Charts are drawn in their frame, with gaps where nothing is known."""

from __future__ import annotations

import re

import pytest

from worker.console import charts
from worker.console.pages.functions import Chart, Curve


def drawn(*values: float | None, seconds: bool = True, now: float | None = None) -> str:
    end = None if now is None else Curve("oldest", (now,))
    return str(charts.curves(Chart("Took", seconds, (Curve("p50", values),), end), [(0.5, "<b>", 1.0)]))


@pytest.mark.parametrize(
    "values", [(0.001, 5000.0, 0.0), (0.0,), (3.0, None, 4.0, None, None, 1e9, 2.0), (1.0, 1.0)], ids=str
)
@pytest.mark.parametrize("seconds", [True, False])
def test_every_point_is_inside_and_a_gap_is_a_gap(values: tuple[float | None, ...], *, seconds: bool) -> None:
    svg = drawn(*values, seconds=seconds, now=7200.0)
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.-]+)", svg)]
    points += [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.-]+)"', svg)]
    assert points
    assert all(0 <= x <= 720 and 0 <= y <= 200 for x, y in points)
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg
    assert "oldest: 2.0 h" in svg


def test_what_is_not_known_is_not_drawn() -> None:
    assert drawn(None, None) == ""
    assert drawn(1.0, 2.0, None, 3.0, 4.0).count("M") == 2, "the last piece is a line of its own"
