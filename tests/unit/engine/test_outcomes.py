"""What becomes of a job: finished, tried again, or buried. Pure decisions; nothing here connects."""

from __future__ import annotations

import json
import math
import pickle
import zlib
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from redis import Redis
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Job
from rq.timeouts import JobTimeoutException

from tests.support import tasks
from worker.engine.meta import MetaKeepingJob
from worker.engine.outcomes import LAST_ERROR_CHARACTERS, Decider, attempt_of, function_name, number
from worker.engine.records import Buried, Claim, Finished, Retried
from worker.engine.serializers import Refused
from worker.engine.unpickling import AllowListedPickle
from worker.retry import PermanentError, RetryLater, RetryPolicy

NOWHERE = Redis(port=1)
NOW = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
DECIDING = Decider("ann", "dead-letter", max_crashes=3, result_ttl=500, release="abc123", now=lambda: NOW)
POLICY = RetryPolicy(max_attempts=3, base=1.0, cap=8.0, retry_on=(OSError,), give_up_on=(FileNotFoundError,))


def claim(**fields: Any) -> Claim:
    written = {name.encode(): str(value).encode() for name, value in fields.items()}
    return Claim("job-1", "w" + "0" * 31, "high", "high", written)


def job(**attributes: Any) -> Job:
    made = MetaKeepingJob.create(tasks.add, (1, 1), connection=NOWHERE, id="job-1")
    made.serializer = AllowListedPickle(["tests.support.tasks"])
    made._stored_meta = pickle.dumps(attributes.pop("stored_meta", attributes.get("meta", {})))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def fail(error: BaseException, *, policy: RetryPolicy | None = None, of: Claim | None = None, **attributes: Any) -> Any:
    try:
        raise error  # noqa: TRY301
    except BaseException as raised:
        return DECIDING.failure(job(**attributes), of or claim(), raised, policy, 10.0, 12.5)


def told(outcome: Retried) -> dict[str, Any]:
    """What is written on the job's hash, without the time of its first failure, which must be there."""
    fields = dict(outcome.fields)
    assert str(fields.pop("first_failed_at")).endswith("+00:00")
    return fields


def letter(outcome: Buried) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(outcome.fields["dead_letter"])
    return written


def reason(outcome: Any) -> str:
    assert isinstance(outcome, Buried)
    found: str = letter(outcome)["reason"]
    return found


# -- success -------------------------------------------------------------------------------------------------------


def test_a_value_is_kept_as_long_as_the_job_says_or_else_the_worker() -> None:
    outcome = DECIDING.success(job(result_ttl=None), claim(), b"AA==", 10.0, 12.5)
    assert isinstance(outcome, Finished)
    assert (outcome.result_ttl, outcome.started, outcome.ended, outcome.in_group) == (500, 10.0, 12.5, False)
    assert outcome.value == b"AA=="
    assert DECIDING.success(job(result_ttl=0), claim(), b"", 0, 0).result_ttl == 0
    assert DECIDING.success(job(result_ttl=-1), claim(), b"", 0, 0).result_ttl == -1
    assert DECIDING.success(job(group_id="crowd"), claim(), b"", 0, 0).in_group


# -- the producer's retries ----------------------------------------------------------------------------------------


def test_the_producers_retries_and_intervals_hold() -> None:
    first = fail(ValueError("boom"), retries_left=2, retry_intervals=[60, 120])
    assert isinstance(first, Retried)
    assert (first.delay, first.at_front) == (60.0, False)
    assert told(first) == {"attempts": 1, "last_error": "ValueError: boom", "retries_left": 1}
    second = fail(ValueError("boom"), of=claim(attempts=1), retries_left=1, retry_intervals=[60, 120])
    assert (second.delay, second.fields["retries_left"], second.fields["attempts"]) == (120.0, 0, 2)
    last = fail(ValueError("boom"), of=claim(attempts=2), retries_left=0, retry_intervals=[60, 120])
    assert (reason(last), letter(last)["attempts"]) == ("attempts_exhausted", 3)


def test_a_retry_without_interval_is_at_once_and_at_the_front_if_asked() -> None:
    assert fail(ValueError(), retries_left=1).delay == 0.0
    assert fail(ValueError(), retries_left=1, enqueue_at_front_on_retry=True).at_front


def test_the_producers_count_holds_even_where_the_function_has_a_policy() -> None:
    outcome = fail(OSError(), policy=POLICY, of=claim(attempts=7), retries_left=1)
    assert isinstance(outcome, Retried)
    assert reason(fail(OSError(), policy=POLICY, retries_left=0)) == "attempts_exhausted"
    assert reason(fail(FileNotFoundError(), policy=POLICY, retries_left=5)) == "not_retryable"


# -- the function's policy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempts", "most"), [(0, 1.0), (1, 2.0)])
def test_the_policy_of_the_function_retries_with_its_backoff(attempts: int, most: float) -> None:
    delays = []
    for _ in range(200):
        outcome = fail(OSError("no route"), policy=POLICY, of=claim(attempts=attempts))
        assert isinstance(outcome, Retried)
        assert told(outcome) == {"attempts": attempts + 1, "last_error": "OSError: no route"}
        delays.append(outcome.delay)
    assert 0 <= min(delays) < most / 2 < max(delays) <= most


def test_the_policy_gives_up() -> None:
    assert reason(fail(OSError(), policy=POLICY, of=claim(attempts=2))) == "attempts_exhausted"
    assert reason(fail(FileNotFoundError(), policy=POLICY)) == "not_retryable"
    assert reason(fail(ValueError(), policy=POLICY)) == "not_retryable"
    assert reason(fail(SystemExit(1), policy=POLICY)) == "failed", "no policy speaks of those"


def test_without_retries_and_policy_the_first_failure_is_the_last() -> None:
    assert reason(fail(ValueError("boom"))) == "failed"
    assert reason(fail(JobTimeoutException("too long"))) == "timeout"


def test_a_permanent_error_wins_over_everything() -> None:
    assert reason(fail(PermanentError("no such product"), policy=POLICY, retries_left=5)) == "permanent"


@pytest.mark.parametrize("attributes", [{}, {"retries_left": 2}, {"retries_left": 2, "retry_intervals": [30]}])
def test_retry_later_is_never_earlier_than_it_was_told(attributes: dict[str, Any]) -> None:
    outcome = fail(RetryLater("429", after=90), policy=POLICY, **attributes)
    assert isinstance(outcome, Retried)
    assert 90 <= outcome.delay <= 98


@pytest.mark.parametrize("after", [math.inf, -math.inf, math.nan, -5.0, None])
@pytest.mark.parametrize("attributes", [{}, {"retries_left": 2, "retry_intervals": [30]}])
def test_a_retry_later_that_makes_no_sense_is_an_ordinary_retry(after: float, attributes: dict[str, Any]) -> None:
    """Infinity would put the job off for ever: lost, and nobody told."""
    outcome = fail(RetryLater("odd", after=after), policy=POLICY, **attributes)
    assert isinstance(outcome, Retried)
    assert 0 <= outcome.delay <= 30


def test_the_first_failure_is_remembered_until_the_job_begins_anew() -> None:
    first = "2026-11-25T04:37:30+00:00"
    again = fail(ValueError("boom"), retries_left=1, of=claim(attempts=1, first_failed_at=first))
    assert again.fields["first_failed_at"] == first
    last = fail(ValueError("boom"), retries_left=0, of=claim(attempts=2, first_failed_at=first))
    assert letter(last)["first_failed_at"] == first
    crashed = DECIDING.crash(claim(crashes=2, attempts=2, first_failed_at=first), "killed by signal 9", 5.0, job())
    assert isinstance(crashed, Buried)
    assert letter(crashed)["first_failed_at"] == first
    for over in ({"dead_letter": "{}"}, {"past": 1}):
        anew = fail(ValueError("boom"), retries_left=0, of=claim(first_failed_at=first, **over))
        assert letter(anew)["first_failed_at"] == letter(anew)["at"] != first


def test_a_replayed_job_that_fails_again_tells_of_its_burials_before() -> None:
    before = json.dumps({"reason": "failed", "message": "first", "at": "2026-11-25T04:37:30+00:00"})
    from_hash = fail(ValueError("boom"), of=claim(dead_letter=before))
    assert [entry["message"] for entry in letter(from_hash)["history"]] == ["first"]
    from_meta = fail(ValueError("boom"), meta={"dead_letter": {"reason": "failed", "message": "in meta"}})
    assert [entry["message"] for entry in letter(from_meta)["history"]] == ["in meta"]


# -- crashes and refusals ------------------------------------------------------------------------------------------


def test_a_crash_runs_again_at_once_until_it_has_cost_too_many_processes() -> None:
    for crashes in (0, 1):
        outcome = DECIDING.crash(claim(crashes=crashes, attempts=crashes), "killed by signal 9", 5.0, job())
        assert isinstance(outcome, Retried)
        assert (outcome.delay, outcome.at_front) == (0.0, True)
        assert told(outcome) == {
            "crashes": crashes + 1,
            "suspect": 1,
            "attempts": crashes + 1,
            "last_error": "its process was killed by signal 9",
        }
    last = DECIDING.crash(claim(crashes=2, attempts=2), "killed by signal 9", 5.0, job())
    assert reason(last) == "crashed"
    assert (
        letter(last)["message"]
        == "The job's process was lost 3 times while it ran; the last one was killed by signal 9."
    )


def test_a_crash_of_a_job_that_cannot_be_read_is_decided_all_the_same() -> None:
    assert isinstance(DECIDING.crash(claim(), "gone", 5.0), Retried)
    assert reason(DECIDING.crash(claim(crashes=2), "gone", 5.0)) == "crashed"


def test_a_refusal_is_a_dead_letter_with_its_sentence() -> None:
    outcome = DECIDING.refusal(claim(attempts=1), Refused("refused_function", "The job asks for os.system."), 5.0)
    assert (reason(outcome), letter(outcome)["message"]) == ("refused_function", "The job asks for os.system.")
    assert (letter(outcome)["attempts"], outcome.failure_ttl) == (2, DEFAULT_FAILURE_TTL)
    assert text_of(outcome) == "The job asks for os.system."
    assert outcome.meta is None


# -- burials -------------------------------------------------------------------------------------------------------


def text_of(outcome: Buried) -> str:
    return zlib.decompress(b64decode(outcome.exc_string)).decode()


def test_a_burial_says_everything_that_people_need() -> None:
    outcome = fail(ValueError("boom"), failure_ttl=60, meta={"colour": "green"})
    assert (outcome.failure_ttl, outcome.letters_queue, outcome.forced) == (60, "dead-letter", False)
    assert text_of(outcome).endswith("ValueError: boom\n")
    assert outcome.meta is not None
    assert pickle.loads(outcome.meta.written) == {"colour": "green", "dead_letter": letter(outcome)}
    assert outcome.fields["attempts"] == 1
    told = letter(outcome)
    assert (told["worker"], told["release"], told["queue"], told["function"]) == (
        "ann",
        "abc123",
        "high",
        "tests.support.tasks.add",
    )


@pytest.mark.parametrize(("failure_ttl", "kept"), [(None, DEFAULT_FAILURE_TTL), (0, 0), (-1, -1), (60, 60)])
def test_failure_ttl(failure_ttl: int | None, kept: int) -> None:
    assert fail(ValueError(), failure_ttl=failure_ttl).failure_ttl == kept


class Odd(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]  # noqa: PLE0307


ODD_ERRORS = [
    tasks.Unprintable(),
    Odd(),
    ValueError("caf\udce9"),
    ValueError("\ud800"),
    ValueError("x" * 1_000_000),
    ValueError(b"\xff", object()),
    ExceptionGroup("several", [ValueError("a"), OSError("b")]),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("retries_left", [None, 1])
@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_no_error_is_too_odd_to_be_stored(error: BaseException, retries_left: int | None) -> None:
    outcome = fail(error, retries_left=retries_left)
    for value in outcome.fields.values():
        assert isinstance(value, (int, bytes)) or value.encode()
    if isinstance(outcome, Retried):
        assert len(str(outcome.fields["last_error"])) <= LAST_ERROR_CHARACTERS
    else:
        assert text_of(outcome)
        assert len(outcome.fields["dead_letter"]) < 30_000, "the whole of it is in the result"


@pytest.mark.parametrize("meta", [{"lock": lambda: None}, {"x": tasks.Unprintable}, {"f": open}])
def test_meta_that_cannot_be_written_does_not_keep_a_job_from_its_grave(meta: dict[str, Any]) -> None:
    """Job code may have put anything there, and not saved it."""
    outcome = fail(ValueError("boom"), meta=meta, stored_meta={"colour": "green"})
    assert reason(outcome) == "failed"
    assert outcome.meta is not None
    assert set(pickle.loads(outcome.meta.written)) == {"colour", "dead_letter"}


# -- counters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "read"), [("0", 0), ("7", 7), ("", 0), ("-3", 0), ("many", 0), ("1.5", 0)])
def test_counters_that_cannot_be_read_are_zero(value: str, read: int) -> None:
    assert number(claim(crashes=value), b"crashes") == read
    assert attempt_of(claim(attempts=value)) == read + 1


@pytest.mark.parametrize("value", ["9" * 18, "9" * 19, "9" * 5000, "x" * 5000, "\u0663", "1e5", " 1 "])
@pytest.mark.parametrize("field", ["attempts", "crashes", "handbacks", "unknown"])
def test_a_counter_beyond_all_measure_decides_and_breaks_nothing(field: str, value: str) -> None:
    odd = claim(**{field: value})
    assert 0 <= number(odd, field.encode()) <= 1_000_000
    refused = Refused("unknown_function", "There is none.")
    waiting = replace(DECIDING, unknown_grace=60.0)
    for outcome in (
        fail(OSError(), policy=POLICY, of=odd),
        waiting.refusal(odd, refused, 1.0),
        DECIDING.crash(odd, "", 1.0),
    ):
        assert isinstance(outcome, Retried | Buried)
    DECIDING.handed_back(odd, 1.0)


def test_the_waits_for_a_release_add_up() -> None:
    grace = replace(DECIDING, unknown_grace=100.0)
    refused, waits = Refused("unknown_function", "There is none."), []
    while isinstance(outcome := grace.refusal(claim(unknown=len(waits)), refused, 1.0), Retried):
        waits.append(outcome.delay)
    assert sum(waits[:-1]) < 100.0 <= sum(waits)


@pytest.mark.parametrize("ended", ["dead_letter", "past"])
def test_counters_of_a_run_that_is_over_do_not_count(ended: str) -> None:
    again = claim(attempts=3, crashes=2, **{ended: "1"})
    assert (attempt_of(again), number(again, b"crashes")) == (1, 0)


def test_the_first_attempt_is_one() -> None:
    assert attempt_of(claim()) == 1


def test_a_name_that_cannot_be_read_is_empty() -> None:
    assert function_name(None) == ""
    assert function_name(job(_func_name=3)) == ""
    assert function_name(job(_func_name="a.b")) == "a.b"


@given(st.integers(1, 6), st.integers(0, 8))
def test_a_job_always_comes_to_an_end(max_attempts: int, crashes: int) -> None:
    """Whatever mixture of errors and crashes: attempts only grow, and the policy's limit is met."""
    policy = RetryPolicy(max_attempts=max_attempts, base=0.01, cap=0.02)
    fields: dict[str, Any] = {}
    for round_ in range(1, max_attempts + crashes + 2):
        outcome = fail(OSError(), policy=policy, of=claim(**fields))
        if isinstance(outcome, Buried):
            assert round_ == max_attempts
            return
        fields.update(outcome.fields)
    raise AssertionError("it never ended")
