"""Redis: the whole diagnosis, in one row."""

from __future__ import annotations

from tools.services.outcome import Outcome, Request, skipped
from worker.diagnosis.course import diagnose
from worker.diagnosis.report import Status
from worker.diagnosis.start import case_of


def check_redis(request: Request) -> Outcome:
    """Diagnose REDIS_URL."""
    url = request.environ.get("REDIS_URL", "")
    if not url:
        return skipped("redis", "REDIS_URL is not set")
    environ = {name: value for name, value in request.environ.items() if not name.startswith("UPSTASH_")}
    report = diagnose(case_of(environ, url, timeout=request.timeout))
    good = report.status in (Status.OK, Status.WARNING)
    return Outcome(
        "redis",
        report.status,
        report.conclusion,
        "" if good else "All steps: python tools/redis_diagnostics.py",
        {"exit_code": report.exit_code, "steps": {step.name: step.status.value for step in report.steps}},
    )
