"""Trouble with Redis: processes stay, jobs run once, and it has a name.

These are some rows of the table in docs/redis-trouble.md, which `make outages` does as a whole.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fault_table import FAULTS
from tests.faults.outages import trial
from tests.support import trouble_page

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("stopped", True),
        ("emptied", True),
        ("killed", True),
        ("blackhole", True),
        ("read_only", True),
        ("rotated", False),
        ("expired", False),
        ("unresolved", True),
    ],
)
def test_a_service_survives(name: str, load: bool, tmp_path: Path) -> None:
    row = trial(BY_NAME[name], tmp_path, load=load)
    print(trouble_page.line(row))
