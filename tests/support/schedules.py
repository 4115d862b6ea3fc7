"""Job packages with a schedule, made for one test."""

from __future__ import annotations

import textwrap
import uuid
from pathlib import Path


class Package:
    """A job package with a schedule, in a directory of its own."""

    def __init__(self, directory: Path, schedule: str) -> None:
        self.name = f"jobs_{uuid.uuid4().hex[:8]}"
        self.directory = directory
        home = directory / self.name
        home.mkdir()
        (home / "__init__.py").write_text("")
        (home / "work.py").write_text(
            "from tests.support.tasks import journal\n\ndef tick(path=''):\n    journal(path)\n"
        )
        (home / "schedule.py").write_text(
            f"from rq import cron\nfrom {self.name} import work\n" + textwrap.dedent(schedule)
        )

    @property
    def environ(self) -> dict[str, str]:
        return {"WORKER_JOB_MODULES": self.name, "PYTHONPATH": str(self.directory)}
