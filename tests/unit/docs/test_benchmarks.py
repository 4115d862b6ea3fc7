"""The figures of README.md and docs/benchmarks.md are those that `make bench` has written."""

from __future__ import annotations

import re

import pytest

from tests.support.service import ROOT

SPEED, COST = (ROOT / "bench/results/latest.md").read_text().split("| Cost |")


def row(label: str, part: str) -> str:
    (found,) = re.findall(rf"^\| {re.escape(label)} \|(.*)\|$", part, flags=re.M)
    return str(found)


def rows_of(page: str) -> list[tuple[str, str]]:
    """Return label and cells of each row of a page's table of peers, without what marks a row as ours."""
    table = (ROOT / page).read_text().replace("**", "").partition("| | no-op jobs/s |")[2].partition("\n\n")[0]
    return re.findall(r"^\| ([A-Za-z][^|]+) \|(.*)\|$", table, flags=re.M)


@pytest.mark.parametrize(
    ("page", "peers"),
    [
        ("README.md", 6),  # worthit-only
        ("docs/benchmarks.md", 11),
    ],
)
def test_each_figure_is_one_that_was_measured_of_that_queue(page: str, peers: int) -> None:
    rows = rows_of(page)
    assert len(rows) == peers
    for label, cells in rows:
        measured = set(re.findall(r"[\d,.]*\d", row(label, SPEED) + row(label, COST)))
        for figure in re.findall(r"[\d,.]*\d", cells):
            assert figure in measured, f"{label}: {figure}"


# worthit-only
def test_the_first_sentence_is_that_ratio() -> None:
    (claimed,) = re.findall(r"(\d+) times RQ's throughput on (?:two|\d+) cores", (ROOT / "README.md").read_text())
    (measured,) = re.findall(r"^ [\d,]+ \(([\d.]+) ×\)", row("WorthIt! worker", SPEED))
    assert int(claimed) == int(float(measured))


# /worthit-only
