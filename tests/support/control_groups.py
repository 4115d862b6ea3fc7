"""A control group with little memory, as a small instance of a host has it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import eventually


@contextmanager
def limited_to(memory_bytes: int) -> Iterator[tuple[Path, str]]:
    """Make a group of cgroup version 1 or 2; yields its folder and the name of its file that holds the peak.

    Where the machine does not let us, the test is skipped. A group ends when its last process has ended.
    """
    name = f"worker-test-{uuid.uuid4().hex[:8]}"
    for root, limit, peak in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        ("/sys/fs/cgroup", "memory.max", "memory.peak"),
    ):
        group = Path(root) / name
        try:
            group.mkdir()
            (group / limit).write_text(str(memory_bytes))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        yield group, peak
        eventually(lambda group=group: not (group / "cgroup.procs").read_text().strip(), what="an empty control group")
        group.rmdir()
        return
    pytest.skip("making a control group with a memory limit needs root on Linux")
