"""What the test of a service comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from worker.diagnosis.report import Status
from worker.redis.translate import translate


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be tested with: the environment, how long each test may take, and what options say."""

    environ: Mapping[str, str] = field(repr=False)
    timeout: float
    queue: str | None = None
    wait: float = 15.0
    health_url: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one service did. `fix` is what to do when it did not do well."""

    service: str
    status: Status
    says: str
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def skipped(service: str, why: str) -> Outcome:
    """Say that a service is not configured."""
    return Outcome(service, Status.SKIPPED, why)


def failed(service: str, says: str, fix: str, **facts: Any) -> Outcome:
    """Say that a service does not work."""
    return Outcome(service, Status.FAILED, says, fix, facts)


def unreached(service: str, error: httpx.HTTPError, variable: str) -> Outcome:
    """Say why an HTTP service was not reached; the URL is not shown, because it may hold a secret."""
    if isinstance(error, httpx.TimeoutException):
        return failed(service, "It did not answer in time.", f"See the service's status page, and {variable}.")
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and (reason := translate(link)) is not None:
            return failed(
                service,
                f"It cannot be reached ({reason.code}).",
                f"Check the host in {variable}, and whether this machine reaches the internet.",
                code=reason.code,
            )
        link = link.__cause__ or link.__context__
    return failed(service, "It cannot be reached.", f"Check the host in {variable}.")
