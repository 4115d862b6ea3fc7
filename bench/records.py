"""The file that finished jobs append to, seen from outside the workers."""

from __future__ import annotations

import os
from pathlib import Path

from bench.tasks import RECORD_SIZE


class Records:
    """Count and read the records in `path`, which is created empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def count(self) -> int:
        """Return how many jobs have finished."""
        return os.stat(self.path).st_size // RECORD_SIZE

    def values(self) -> list[int]:
        """Return what the jobs wrote, in the order in which they finished."""
        return [int(line) for line in self.path.read_text().splitlines()]
