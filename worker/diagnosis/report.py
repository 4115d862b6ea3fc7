"""The report of a diagnosis. The documented JSON is these models, dumped."""

from __future__ import annotations

import enum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from worker.redis.trouble import RedisTrouble
from worker.text import duration

#: Goes up when a field changes its meaning or goes away; new fields do not change it.
SCHEMA: Final = 1


class Status(enum.StrEnum):
    """How a step or one of its findings came out; later members are worse."""

    SKIPPED = "skipped"
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


#: How a skipped step names the step that failed and that it needs.
NEEDS: Final = "needs "
_RANK: Final = {status: rank for rank, status in enumerate(Status)}


def worst(statuses: list[Status]) -> Status:
    """Return the worst of some statuses, SKIPPED when there are none."""
    return max(statuses, key=_RANK.__getitem__, default=Status.SKIPPED)


def quoted(trouble: RedisTrouble) -> str:
    """Return the server's own words as a sentence; "" if it sent none."""
    return f"The server said: {trouble.detail}." if trouble.detail else ""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """One thing that a step found."""

    status: Status
    says: str = Field(description="What was found; for a warning or failure the cause")
    fix: str = Field("", description="What to do about it")
    code: str = Field("", description="The trouble's stable name (worker/redis/troubles.py), when it is one")

    @staticmethod
    def of(trouble: RedisTrouble, says: str = "", status: Status = Status.FAILED, *, fix: str = "") -> Finding:
        """Make a finding of a trouble; `says` is appended to its sentence, and `fix` replaces its fix."""
        return Finding(
            status=status,
            says=f"{trouble.trouble.sentence} {says or quoted(trouble)}".strip(),
            fix=fix or trouble.trouble.fix,
            code=trouble.code,
        )


class StepReport(_Frozen):
    """One step."""

    name: str = Field(
        description="Stable name: url, dns, tcp, tls, redis, auth, latency, server, fitness, rq, rest; with Sentinels "
        "also sentinel_1, … and primary"
    )
    title: str
    status: Status = Field(description="The worst of its findings")
    seconds: float = Field(description="How long it took")
    says: str = Field(description="One line: what was seen, or why it was skipped")
    findings: tuple[Finding, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict, description="What was measured or read, by name")

    def took(self) -> str:
        """Return how long it took as people read it; "" if it was skipped."""
        if self.status is Status.SKIPPED:
            return ""
        return f"{self.seconds * 1000:.0f} ms" if self.seconds < 1 else duration(self.seconds)


class Report(_Frozen):
    """A whole diagnosis."""

    schema_version: int = SCHEMA
    at: str = Field(description="When it began: RFC 3339, UTC")
    target: str = Field(description="The URL without user and password")
    source: str = Field(description="Where the URL came from: --url, REDIS_URL or .env")
    status: Status = Field(description="The worst of its steps")
    exit_code: int = Field(description="0, or the code of the first step that failed")
    seconds: float = Field(description="How long all steps took")
    steps: tuple[StepReport, ...]
    notes: tuple[str, ...] = Field((), description="What the limits of Netlify, Render and Upstash mean for this Redis")
    conclusion: str = Field(description="The most likely cause and the next step, in one sentence")

    def step(self, name: str) -> StepReport:
        """Return the step `name`; raises `KeyError`."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
