"""Which failures are worth another try."""

from __future__ import annotations

import math
import pickle

import pytest

from worker.retry import (
    GiveUp,
    PermanentError,
    Retry,
    RetryLater,
    RetryPolicy,
    decide,
    default_policy,
    isolation_of,
    policy_of,
    with_policy,
)

THREE = RetryPolicy(max_attempts=3, base=1.0, cap=60.0)


def half() -> float:
    return 0.5


def test_a_permanent_error_is_given_up_on_the_first_attempt() -> None:
    assert decide(PermanentError("no such page"), 1, THREE) == GiveUp("permanent")


def test_any_exception_is_retried_by_default_with_growing_jitter() -> None:
    assert decide(KeyError("x"), 1, THREE, rng=half) == Retry(0.5)
    assert decide(KeyError("x"), 2, THREE, rng=half) == Retry(1.0)


@pytest.mark.parametrize("exc", [KeyError("x"), RetryLater("busy", after=5)])
def test_the_last_attempt_is_the_last(exc: Exception) -> None:
    assert decide(exc, 3, THREE) == GiveUp("attempts_exhausted")
    assert decide(exc, 4, THREE) == GiveUp("attempts_exhausted")


def test_one_attempt_means_no_retry() -> None:
    assert decide(KeyError("x"), 1, RetryPolicy(max_attempts=1)) == GiveUp("attempts_exhausted")


def test_only_listed_exceptions_are_retried() -> None:
    policy = RetryPolicy(retry_on=(OSError,))
    assert isinstance(decide(ConnectionResetError(), 1, policy), Retry)
    assert decide(KeyError("x"), 1, policy) == GiveUp("not_retryable")


def test_give_up_on_wins_over_retry_on() -> None:
    policy = RetryPolicy(retry_on=(OSError,), give_up_on=(FileNotFoundError,))
    assert decide(FileNotFoundError(), 1, policy) == GiveUp("not_retryable")
    assert isinstance(decide(OSError(), 1, policy), Retry)


def test_what_is_no_exception_is_never_retried() -> None:
    assert decide(KeyboardInterrupt(), 1, THREE) == GiveUp("not_retryable")
    assert decide(SystemExit(1), 1, THREE) == GiveUp("not_retryable")


def test_retry_later_needs_no_listing_and_is_never_early() -> None:
    policy = RetryPolicy(retry_on=(), base=4.0)
    assert decide(RetryLater("busy", after=60), 1, policy, rng=lambda: 0.0) == Retry(60.0)
    assert decide(RetryLater("busy", after=60), 1, policy, rng=half) == Retry(62.0)


@pytest.mark.parametrize("after", [None, 0, -5.0, math.nan, math.inf])
def test_retry_later_without_a_sensible_time_backs_off_as_usual(after: float | None) -> None:
    assert decide(RetryLater("busy", after), 2, THREE, rng=half) == Retry(1.0)


def test_retry_later_reads_as_its_message_and_survives_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(RetryLater("the shop is busy", 3.5)))
    assert (str(again), again.after) == ("the shop is busy", 3.5)


def test_a_policy_sits_with_its_function() -> None:
    @with_policy(THREE)
    def job(url: str) -> str:
        return url

    assert policy_of(job) is THREE
    assert job("x") == "x"


def test_a_function_without_a_policy_has_none() -> None:
    assert policy_of(len) is None


@pytest.mark.parametrize(
    "wrong",
    [{"max_attempts": 0}, {"base": -1.0}, {"base": 10.0, "cap": 5.0}, {"cap": math.inf}, {"base": math.nan}],
)
def test_a_senseless_policy_is_refused_with_the_field_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def test_the_services_policy_retries_anything_but_what_is_permanent() -> None:
    policy = default_policy(3, base=2.0, cap=600.0)
    assert policy is not None
    assert decide(ValueError(), 2, policy, rng=lambda: 0.5) == Retry(2.0)
    assert decide(ValueError(), 3, policy) == GiveUp("attempts_exhausted")
    assert decide(PermanentError(), 1, policy) == GiveUp("permanent")


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_service_without_retries_has_no_policy(attempts: int) -> None:
    assert default_policy(attempts, base=2.0, cap=600.0) is None


def test_a_base_above_the_cap_is_cut() -> None:
    assert default_policy(2, base=900.0, cap=60.0) == RetryPolicy(2, 60.0, 60.0)


def test_a_function_may_choose_its_isolation_with_a_policy_or_without() -> None:
    @with_policy(isolation="job")
    def alone() -> None: ...

    @with_policy(THREE, isolation="process")
    def beside() -> None: ...

    @with_policy(THREE)
    def neither() -> None: ...

    assert [isolation_of(function) for function in (alone, beside, neither)] == ["job", "process", None]
    assert [policy_of(function) for function in (alone, beside, neither)] == [None, THREE, THREE]


def test_an_isolation_that_does_not_exist_is_refused_beside_the_function() -> None:
    with pytest.raises(ValueError, match=r"isolation='fork'.*\"job\""):
        with_policy(isolation="fork")
