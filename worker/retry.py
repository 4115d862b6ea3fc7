"""Which failures of a job are worth another try, and when; and where a job function runs.

A job function can have a policy of its own::

    @with_policy(RetryPolicy(max_attempts=5, base=2.0, retry_on=(RetryLater,)))
    def fetch(url): ...

    @with_policy(isolation="job")
    def render(path): ...  # in a process of its own, whatever WORKER_ISOLATION says

It raises `PermanentError` or `RetryLater` where the exception's class alone cannot decide. RQ's `Retry`, which a
producer gives, wins over the function's policy, and that over the service's (`WORKER_RETRY_ATTEMPTS`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from worker.backoff import full_jitter

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Where jobs run (WORKER_ISOLATION): in the consumer's process, or each in a fork of it.
ISOLATIONS: Final = ("process", "job")


class PermanentError(Exception):
    """Trying again cannot help: the job becomes a dead letter at once."""


class RetryLater(Exception):
    """The job should run again, not before `after` seconds (None: the policy's backoff alone decides)."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message, after)  # both, or the exception would not survive a pickle
        self.message = message
        self.after = after

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a function is tried.

    `max_attempts` counts the first run too. Waits have full jitter: up to `base`, 2 `base`, 4 `base` …
    seconds, at most `cap`. `give_up_on` wins over `retry_on`; `PermanentError` and `RetryLater` need not
    be listed.
    """

    max_attempts: int = 3
    base: float = 1.0
    cap: float = 300.0
    retry_on: tuple[type[Exception], ...] = (Exception,)
    give_up_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"RetryPolicy.max_attempts is {self.max_attempts}; use 1 or more, it counts the first run")
        if not 0 <= self.base <= self.cap < math.inf:
            raise ValueError(
                f"RetryPolicy has base {self.base} and cap {self.cap}; use finite seconds with 0 ≤ base ≤ cap"
            )


@dataclass(frozen=True, slots=True)
class Retry:
    """Run the job again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Bury the job. `reason` is a code: ``permanent``, ``attempts_exhausted``, ``not_retryable`` or ``failed``."""

    reason: str


def with_policy(policy: RetryPolicy | None = None, *, isolation: str | None = None) -> Callable[[_Function], _Function]:
    """Attach `policy` to a job function, as its attribute `retry_policy`, and where it runs, as `isolation`.

    `isolation` is "process" or "job"; None leaves it to WORKER_ISOLATION. Raises ValueError for anything else.
    """
    if isolation not in (None, *ISOLATIONS):
        raise ValueError(f'with_policy(isolation={isolation!r}): use "job" (a fork for each job) or "process"')

    def attach(function: _Function) -> _Function:
        if policy is not None:
            function.retry_policy = policy  # type: ignore[attr-defined]
        if isolation is not None:
            function.isolation = isolation  # type: ignore[attr-defined]
        return function

    return attach


def default_policy(attempts: int, base: float, cap: float) -> RetryPolicy | None:
    """Return the service's policy of `attempts` in all, None for 0 and 1; a base above the cap is cut."""
    return RetryPolicy(attempts, min(base, cap), cap) if attempts > 1 else None


def policy_of(function: Callable[..., Any]) -> RetryPolicy | None:
    """Return the policy that `with_policy` attached, or None."""
    policy = getattr(function, "retry_policy", None)
    return policy if isinstance(policy, RetryPolicy) else None


def isolation_of(function: Callable[..., Any]) -> str | None:
    """Return where `with_policy` lets a function run, None where it leaves it to WORKER_ISOLATION."""
    isolation = getattr(function, "isolation", None)
    return isolation if isinstance(isolation, str) and isolation in ISOLATIONS else None


def next_attempt(
    exc: BaseException,
    attempt: int,
    *,
    retries_left: int | None,
    interval: Callable[[], float],
    policy: RetryPolicy | None,
    default: RetryPolicy | None,
) -> Retry | GiveUp:
    """Decide what follows when run number `attempt` (1-based) raised `exc`, by the policy that wins.

    A producer's own `Retry(max=…, interval=…)` wins: `retries_left` is its count (None: it asked for none), `interval`
    returns its next wait in seconds. Then the function's `policy`, then the service's `default`. What is no `Exception`
    (SystemExit, say) is only retried for a producer.
    """
    if isinstance(exc, PermanentError):
        return GiveUp("permanent")
    if retries_left is not None:
        if policy is not None and isinstance(exc, policy.give_up_on):
            return GiveUp("not_retryable")
        if retries_left <= 0:
            return GiveUp("attempts_exhausted")
        asked = (exc.after or 0.0) if isinstance(exc, RetryLater) else 0.0
        return Retry(max(interval(), asked if 0 < asked < math.inf else 0.0))  # an endless wait would lose the job
    policy = policy or default
    if policy is None or not isinstance(exc, Exception):
        return GiveUp("failed")
    return decide(exc, attempt, policy)


def decide(
    exc: BaseException, attempt: int, policy: RetryPolicy, *, rng: Callable[[], float] = random.random
) -> Retry | GiveUp:
    """Decide what follows when run number `attempt` (1-based) raised `exc`.

    The jitter is added to `RetryLater.after` rather than drawn below it: a server that asked many jobs to come
    back in 60 seconds must not see them all in the same second.
    """
    if isinstance(exc, PermanentError):
        return GiveUp("permanent")
    asked_for = isinstance(exc, RetryLater)
    if not asked_for and (isinstance(exc, policy.give_up_on) or not isinstance(exc, policy.retry_on)):
        return GiveUp("not_retryable")
    if attempt >= policy.max_attempts:
        return GiveUp("attempts_exhausted")
    delay = full_jitter(attempt, base=policy.base, cap=policy.cap, rng=rng)
    if isinstance(exc, RetryLater) and exc.after is not None and 0 < exc.after < math.inf:
        delay += exc.after
    return Retry(delay)
