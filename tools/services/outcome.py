"""What the tests of services share: what they are given, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from worker.diagnosis.report import Status
from worker.diagnosis.steps.rest import cause_of


@dataclass(frozen=True, slots=True)
class Request:
    """What a test is given: the environment, seconds that a request may take, and the options."""

    environ: Mapping[str, str] = field(repr=False)
    timeout: float
    queue: str | None = None
    wait: float = 15.0
    health_url: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the test of one service came out. `fix` is what to do unless all is well."""

    service: str
    status: Status
    says: str
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def skipped(service: str, why: str) -> Outcome:
    """Return that a service is not configured."""
    return Outcome(service, Status.SKIPPED, why)


def failed(service: str, says: str, fix: str, **facts: Any) -> Outcome:
    """Return that a service does not work."""
    return Outcome(service, Status.FAILED, says, fix, facts)


def unreached(service: str, error: httpx.HTTPError, variable: str) -> Outcome:
    """Return why an HTTP service was not reached; the URL is not shown, because it may hold a secret."""
    if isinstance(error, httpx.TimeoutException):
        return failed(service, "It did not answer in time.", f"See the service's status page, and {variable}.")
    if reason := cause_of(error):
        return failed(
            service,
            f"It cannot be reached ({reason.code}).",
            f"Check the host in {variable}, and whether this machine reaches the internet.",
            code=reason.code,
        )
    return failed(service, "It cannot be reached.", f"Check the host in {variable}.")
