"""Step `fitness`: is the server fit to be a queue?"""

from __future__ import annotations

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Status
from worker.diagnosis.steps import limits, trials
from worker.text import counted


def check_fitness(case: Case) -> Found:
    """Judge the limits, then try what the worker does: write, run scripts, wait for a queue, subscribe."""
    found = Found("", halt=False)
    limits.judge(case, found)
    trials.run(case, found)
    statuses = [finding.status for finding in found.findings]
    failures, warnings = statuses.count(Status.FAILED), statuses.count(Status.WARNING)
    if failures:
        found.says = f"not fit: {counted(failures, 'problem')}"
    else:
        found.says = "fit" + (f", {counted(warnings, 'thing')} to look at" if warnings else "")
    return found
