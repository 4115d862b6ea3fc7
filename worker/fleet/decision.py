"""How many instances a fleet should have: a pure decision from what is known at one moment.

It scales out by the *wait of the oldest job*, because that is what people feel: a thousand jobs that are done within a
second need no instance, one job that has waited a minute does. It scales in only while nothing waits or runs, because
the platform chooses which instance to stop, and would interrupt a job on it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from worker.fleet.state import jobs_wait


class Reason(enum.StrEnum):
    """Why a decision came out as it did: one word for machines."""

    BELOW_MINIMUM = "below_minimum"
    LATE = "late"
    IDLE = "idle"
    ENOUGH = "enough"
    AT_MAXIMUM = "at_maximum"
    AT_MINIMUM = "at_minimum"
    COOLING_DOWN = "cooling_down"
    NOT_IDLE_LONG_ENOUGH = "not_idle_long_enough"
    NO_CONSUMERS = "no_consumers"
    SUSPENDED = "suspended"
    SERVICE_SUSPENDED = "service_suspended"
    RENDER_SCALES = "render_scales"
    API_AWAY = "api_away"


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits; times are seconds, see the settings of the same names."""

    least: int
    most: int
    step: int
    wait: float
    idle: float
    cooldown: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known. `oldest_wait` is 0 when nothing waits; `idle_for` and `since_change` are seconds."""

    instances: int
    consumers: int
    oldest_wait: float
    waiting: int
    running: int
    queues_suspended: bool
    idle_for: float
    since_change: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`wanted` instances, the reason as a word, and a sentence for people."""

    instances: int
    wanted: int
    reason: Reason
    sentence: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.wanted != self.instances


def decide(policy: Policy, facts: Facts) -> Decision:
    """Decide once. The minimum is enforced at once; every other change waits for the cooldown."""
    now = facts.instances

    def hold(reason: Reason, sentence: str) -> Decision:
        return Decision(now, now, reason, sentence)

    if now < policy.least:
        return Decision(
            now, policy.least, Reason.BELOW_MINIMUM, f"{now} instances are fewer than the minimum of {policy.least}."
        )
    if facts.queues_suspended:
        return hold(Reason.SUSPENDED, "The queues are suspended, so no instance claims anything.")
    cooling = facts.since_change < policy.cooldown
    rest = f"{facts.since_change:.0f} s of {policy.cooldown:g} s have passed since the last change."
    if facts.oldest_wait > policy.wait:
        late = f"The oldest job has waited {facts.oldest_wait:.0f} s, longer than {policy.wait:g} s"
        if facts.consumers == 0:
            return hold(Reason.NO_CONSUMERS, f"{late}, but no consumer is alive: more instances would not help.")
        if now >= policy.most:
            return hold(Reason.AT_MAXIMUM, f"{late}, but {now} instances are the maximum ({policy.most}).")
        if cooling:
            return hold(Reason.COOLING_DOWN, f"{late}, but {rest}")
        return Decision(now, min(now + policy.step, policy.most), Reason.LATE, f"{late}; {jobs_wait(facts.waiting)}.")
    if facts.waiting or facts.running:
        return hold(Reason.ENOUGH, f"No job has waited longer than {policy.wait:g} s.")
    if now <= policy.least:
        return hold(Reason.AT_MINIMUM, f"Nothing to do, and {now} instances are the minimum.")
    if facts.idle_for < policy.idle:
        return hold(Reason.NOT_IDLE_LONG_ENOUGH, f"Idle for {facts.idle_for:.0f} s of {policy.idle:g} s.")
    if cooling:
        return hold(Reason.COOLING_DOWN, f"Idle, but {rest}")
    wanted = max(now - policy.step, policy.least)
    return Decision(now, wanted, Reason.IDLE, f"Nothing has waited or run for {facts.idle_for:.0f} s.")
