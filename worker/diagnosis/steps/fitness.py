"""Step: is the server fit to be a queue?"""

from __future__ import annotations

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Status
from worker.diagnosis.steps import limits, trials


def check_fitness(case: Case) -> Found:
    """Read the limits, then try what the worker does."""
    found = Found("", halt=False)
    limits.judge(case, found)
    trials.run(case, found)
    bad = [finding for finding in found.findings if finding.status is Status.FAILED]
    odd = [finding for finding in found.findings if finding.status is Status.WARNING]
    found.says = (
        f"{len(bad)} thing{'s' * (len(bad) > 1)} in the way"
        if bad
        else f"fit, {len(odd)} thing{'s' * (len(odd) > 1)} to look at"
        if odd
        else "fit"
    )
    return found
