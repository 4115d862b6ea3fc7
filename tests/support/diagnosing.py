"""Diagnose a URL as a test wants it: quickly, and sure that no secret comes out."""

from __future__ import annotations

import os
import subprocess

from tests.support import warm
from tests.support.broken import PASSWORD
from tests.support.service import ROOT
from worker.diagnosis.course import STEPS, Step, diagnose
from worker.diagnosis.report import Report, Status
from worker.diagnosis.start import case_of

#: What a step may take, with what answers; long enough for a busy machine.
TIMEOUT_SECONDS = 30.0
#: The same, with what never answers.
SILENCE_SECONDS = 3.0


def diagnosed(url: str, *, timeout: float = TIMEOUT_SECONDS, steps: tuple[Step, ...] = STEPS, **environ: str) -> Report:
    """Run every step (or `steps`) against `url` in this process."""
    report = diagnose(case_of(environ, url, timeout=timeout), steps)
    assert PASSWORD not in report.model_dump_json()
    assert report.exit_code or report.status is not Status.FAILED
    return report


def failure(report: Report) -> tuple[str, str]:
    """Return the first step that failed and the code of what it found, ("", "") when none did."""
    for step in report.steps:
        for finding in step.findings:
            if finding.status is Status.FAILED:
                return step.name, finding.code
    return "", ""


def tool(
    name: str, *arguments: str, url: str | None = None, cwd: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a tool of the checkout as a person does: a file by its path, or a module."""
    command = [str(ROOT / name)] if name.endswith(".py") else ["-m", name]
    base = {"PATH": os.environ["PATH"], **environ}
    if url is not None:
        base["REDIS_URL"] = url
    done = warm.run([*command, *arguments], base, cwd=cwd or ROOT)
    assert "Traceback" not in done.stderr, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done
