"""Decide what becomes of a job: finished, tried again, or buried. Pure: nothing here talks to Redis."""

from __future__ import annotations

import traceback
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Job
from rq.timeouts import JobTimeoutException

from worker.engine import dead_letter, rq_private
from worker.engine.payload import LONGEST_NAME
from worker.engine.raised import original
from worker.engine.records import Buried, Claim, Finished, Outcome, Retried
from worker.engine.serializers import Refused
from worker.redis.calls import Value
from worker.retry import GiveUp, RetryPolicy, next_attempt
from worker.text import bounded, count_of, size

#: Characters of the last error that a job's hash shows while it waits for its next attempt.
LAST_ERROR_CHARACTERS: Final = 300
#: Characters of a traceback that RQ's result keeps: its beginning and its end.
TRACEBACK_CHARACTERS: Final = 50_000
#: The longest wait for a release that knows a job's function.
UNKNOWN_CAP_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Decider:
    """What decisions need to know about the service."""

    worker_name: str
    letters_queue: str
    max_crashes: int
    result_ttl: int
    release: str | None = None
    default_policy: RetryPolicy | None = None  #: of jobs whose producer and whose function ask for no retries
    max_handbacks: int = 10
    unknown_grace: float = 0.0
    max_result_bytes: int = 0  #: 0 = any
    now: Callable[[], datetime] = field(kw_only=True)  #: the server's time

    def success(self, job: Job, claim: Claim, stored: bytes, started: float, ended: float) -> Finished | Buried:
        """The job returned what `encode_result` has made `stored` of; what is too large to be kept fails it."""
        if 0 < self.max_result_bytes < len(stored):
            sentence = (
                f"The job returned {len(stored):,} bytes, as Redis would hold it, and WORKER_MAX_RESULT_BYTES allows "
                f"{self.max_result_bytes:,}. Keep large results elsewhere and return where they are, or raise the "
                f"limit."
            )
            attempts = attempt_of(claim)
            return self.bury("result_too_large", claim, started, ended, job=job, sentence=sentence, attempts=attempts)
        return Finished(
            claim,
            started,
            ended,
            self.lives(job),
            stored,
            job.group_id is not None,
        )

    def lives(self, job: Job) -> int:
        """How long a job is kept that has returned (seconds; -1 = for ever)."""
        return self.result_ttl if job.result_ttl is None else job.result_ttl

    def failure(
        self,
        job: Job,
        claim: Claim,
        error: BaseException,
        policy: RetryPolicy | None,
        started: float,
        ended: float,
    ) -> Retried | Buried:
        """The job raised: its producer's `Retry`, its function's policy or the service's may give it another try."""
        attempt = attempt_of(claim)
        raised = original(error)
        decision = next_attempt(
            raised,
            attempt,
            retries_left=job.retries_left,
            interval=lambda: float(job.get_retry_interval()),
            policy=policy,
            default=self.default_policy,
        )
        if isinstance(decision, GiveUp):
            timed_out = decision.reason == "failed" and isinstance(raised, JobTimeoutException)
            reason = "timeout" if timed_out else decision.reason
            return self.bury(reason, claim, started, ended, job=job, error=error, attempts=attempt)
        text = f"{type(error).__name__}: {dead_letter.words(error)}"[:LAST_ERROR_CHARACTERS]
        written = self._failed_attempt(claim, attempt, text)
        if job.retries_left:
            written["retries_left"] = job.retries_left - 1
        return Retried(claim, started, ended, decision.delay, bool(job.enqueue_at_front_on_retry), written)

    def refusal(self, claim: Claim, refused: Refused, started: float, job: Job | None = None) -> Retried | Buried:
        """The job must not or cannot run here. An unknown function may be one of the next release: it is waited for."""
        attempts = attempt_of(claim)
        waits = number(claim, b"unknown")
        if refused.code == "unknown_function" and _waited(waits) < self.unknown_grace:
            written: dict[str, Value] = {"unknown": waits + 1, "last_error": str(refused)[:LAST_ERROR_CHARACTERS]}
            return Retried(claim, started, started, _unknown_wait(waits), at_front=True, fields=written)
        buried = partial(self.bury, refused.code, claim, started, started, job=job, attempts=attempts)
        return buried(sentence=str(refused), subject=refused.subject)

    def crash(self, claim: Claim, how: str, moment: float, job: Job | None = None) -> Retried | Buried:
        """The process died under the job: it runs again at once, alone, until it has cost too many processes."""
        crashes = number(claim, b"crashes") + 1
        attempts = attempt_of(claim)
        if crashes >= self.max_crashes:
            sentence = f"The job's process was lost {crashes} times while it ran; the last one was {how}."
            return self.bury("crashed", claim, moment, moment, job=job, sentence=sentence, attempts=attempts)
        written = {"crashes": crashes, "suspect": 1, **self._failed_attempt(claim, attempts, f"its process was {how}")}
        return Retried(claim, moment, moment, 0.0, at_front=True, fields=written)

    def abandoned(self, claim: Claim, moment: float, job: Job | None = None) -> Retried | Buried:
        """A plain RQ worker vanished under the job: by RQ's rules that takes one of its retries, or fails it."""
        attempts = attempt_of(claim)
        sentence = "The plain RQ worker that ran it vanished: its lease is over."
        if job is None or not job.retries_left:
            return self.bury("abandoned", claim, moment, moment, job=job, sentence=sentence, attempts=attempts)
        written = {"retries_left": job.retries_left - 1, **self._failed_attempt(claim, attempts, sentence)}
        at_front = bool(job.enqueue_at_front_on_retry)
        delay = 0.0 if job.has_rate_limit else float(job.get_retry_interval())  # it has its slot now
        return Retried(claim, moment, moment, delay, at_front, written)

    def handed_back(self, claim: Claim, moment: float, job: Job | None = None) -> Buried | None:
        """The service stopped under the job: it goes back (None), until that has happened too often."""
        times = number(claim, b"handbacks") + 1
        if times < self.max_handbacks:
            return None
        sentence = (
            f"{times} stops of the service in a row interrupted the job, so it never comes to its end. Give it more "
            f"time (WORKER_SHUTDOWN_GRACE and the platform's shutdown delay), make it shorter, or let it save what it "
            f"has done when it is interrupted; then replay it."
        )
        letter = self.bury("handed_back", claim, moment, moment, job=job, sentence=sentence, attempts=attempt_of(claim))
        letter.fields["handbacks"] = times
        return letter

    def refused_outcome(self, outcome: Outcome, held: int, answer: str) -> Buried:
        """The server does not take what became of a job, `held` bytes of it: the job ends, in few words."""
        job = outcome.notes[0] if outcome.notes else None
        what = "result" if isinstance(outcome, Finished) else "failure"
        sentence = (
            f"Redis does not take the job's {what} ({size(held)} in the request): {answer[:300]}. The job has run; "
            f"keep large results and texts elsewhere, or see which of the job's keys holds something else."
        )
        moments = (outcome.started, outcome.ended)
        attempts = attempt_of(outcome.claim)
        buried = self.bury("outcome_refused", outcome.claim, *moments, job=job, sentence=sentence, attempts=attempts)
        buried.meta = None  # it may be what is too large
        buried.notes = (job, None)
        return buried

    def bury(
        self,
        reason: str,
        claim: Claim,
        started: float,
        ended: float,
        *,
        attempts: int,
        job: Job | None = None,
        error: BaseException | None = None,
        sentence: str = "",
        subject: str = "",
    ) -> Buried:
        """Fail the job for good; the traceback (or the sentence) becomes its RQ result."""
        letter = dead_letter.record(
            reason,
            claim,
            attempts=attempts,
            worker=self.worker_name,
            release=self.release,
            function=function_name(job),
            error=error,
            sentence=sentence,
            subject=subject,
            earlier=dead_letter.earlier(job, claim),
            first_failed_at=first_failure(claim),
            now=self.now(),
        )
        trace = "".join(traceback.format_exception(error)) if error is not None else sentence
        text = bounded(trace, TRACEBACK_CHARACTERS)
        ttl = job.failure_ttl if job is not None else None
        return Buried(
            claim,
            started,
            ended,
            DEFAULT_FAILURE_TTL if ttl is None else ttl,
            self.letters_queue,
            b64encode(zlib.compress(dead_letter.encodable(text).encode())),
            {**dead_letter.fields(letter), "attempts": attempts},
            letter,
            dead_letter.in_meta(job, letter),
            traceback=text if error is not None else "",
        )

    def mishandled(self, claim: Claim, moment: float) -> Buried:
        """Code that never raises has raised over the job: it ends in fixed words, and nothing of it is read."""
        sentence = "The worker failed at this job, which may have run. The log line job.mishandled has the traceback."
        letter = dead_letter.record(
            "mishandled",
            claim,
            attempts=1,
            worker=self.worker_name,
            release=self.release,
            sentence=sentence,
            now=self.now(),
        )
        exc_string = b64encode(zlib.compress(sentence.encode()))
        fields: dict[str, Value] = {**dead_letter.fields(letter), "attempts": 1}
        return Buried(claim, moment, moment, DEFAULT_FAILURE_TTL, self.letters_queue, exc_string, fields, letter)

    def _failed_attempt(self, claim: Claim, attempt: int, error: str) -> dict[str, Value]:
        """Return what is written on the hash of a job whose attempt failed and that is tried again."""
        return {
            "attempts": attempt,
            "last_error": error,
            "first_failed_at": first_failure(claim) or self.now().isoformat(timespec="seconds"),
        }


def _unknown_wait(waits: int) -> float:
    """Seconds until a job of an unknown function is tried again: 1, 2, 4 … 30."""
    return float(min(2**waits, UNKNOWN_CAP_SECONDS)) if waits < 10 else float(UNKNOWN_CAP_SECONDS)


def _waited(waits: int) -> float:
    """Seconds that so many of those waits have taken together."""
    first = min(waits, 10)
    return sum(map(_unknown_wait, range(first))) + (waits - first) * _unknown_wait(first)


#: No counter of ours comes near it; somebody else may have written one that does.
_MOST: Final = 1_000_000


def attempt_of(claim: Claim) -> int:
    """Which attempt this claim is, from 1. A replayed dead letter begins anew."""
    return number(claim, b"attempts") + 1


def number(claim: Claim, field: bytes) -> int:
    """Read one of our counters on the job's hash; 0 when it is unset, unreadable or of a run that is over."""
    return 0 if _anew(claim) else min(count_of(claim.fields.get(field)), _MOST)


def first_failure(claim: Claim) -> str:
    """When the first attempt of this run of attempts failed (ISO 8601), "" if none has."""
    return "" if _anew(claim) else claim.fields.get(b"first_failed_at", b"").decode(errors="replace")[:40]


def _anew(claim: Claim) -> bool:
    return b"dead_letter" in claim.fields or b"past" in claim.fields


def function_name(job: Job | None) -> str:
    """The dotted name that the payload asks for, "" when it could not be read."""
    name = rq_private.function_name(job) if job is not None else ""
    return name[:LONGEST_NAME] if isinstance(name, str) else ""
