"""Odd records, killers among them, beside good jobs: see `tests.faults.fuzz`. Thousands and other seeds by hand."""

from __future__ import annotations

from tests.faults.fuzz import Fuzz
from tests.support.hostile import KILLERS

#: They are refused or end their reader at once; the others take half a minute each.
QUICK = [name for name in KILLERS if not name.startswith("an endless")]


def test_some_odd_records_harm_nothing() -> None:
    assert Fuzz(seed=1, odd=400, good=200, killers=QUICK, processes=2).run() == []
