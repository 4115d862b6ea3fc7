"""The producer: enqueue jobs, ask how they are, read what came of them."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack, overload

from .answers import Answer, Enqueued, T
from .checks import check_job_id, check_span, check_wait
from .errors import KeyReused, Misconfigured, NoSuchJob, NotFinished, RateLimited, Refused, Unreachable
from .options import Call, Options, Retry
from .payload import moment
from .reading import ENDED, FIELDS, JobState, LogLine, NotANumber, load_json, log_of, read
from .record import Record, check_batch, record
from .scripts import CANCEL, ENQUEUE, READ
from .transport import Transport

#: Seconds for one call, all tries together; a Netlify function has 60, and its caller less patience.
DEFAULT_SECONDS: Final = 8.0
#: `wait` looks after this, then ever more slowly, up to the second.
_FIRST_LOOK, _SLOWEST_LOOK = 0.1, 2.0


class Producer:
    """Puts jobs on RQ's queues and reads what comes of them; thread-safe.

    `seconds` bounds every call. Each call is one HTTP request (`wait`: one a look) and is safe to repeat: a job has the
    id that the caller or this class chose before anything was sent. Raises `ProducerError`s.
    """

    def __init__(self, transport: Transport, *, prefix: str = "rq", seconds: float = DEFAULT_SECONDS) -> None:
        check_span("seconds", seconds)
        self._transport = transport
        self._prefix = prefix
        self._seconds = seconds

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, seconds: float = DEFAULT_SECONDS) -> Self:
        """Use UPSTASH_REDIS_REST_URL and _TOKEN, or else REDIS_URL; raises `Misconfigured`."""
        from .rest import RestTransport  # noqa: PLC0415 — TCP producers do not need httpx
        from .tcp import TcpTransport  # noqa: PLC0415

        url, token = environ.get("UPSTASH_REDIS_REST_URL", ""), environ.get("UPSTASH_REDIS_REST_TOKEN", "")
        prefix = environ.get("RQ_KEY_PREFIX") or "rq"
        if url or token:
            if not url or not token:
                missing = "UPSTASH_REDIS_REST_TOKEN" if url else "UPSTASH_REDIS_REST_URL"
                raise Misconfigured(f"{missing} is not set, and its companion is. Set both, or neither and REDIS_URL.")
            return cls(RestTransport(url, token), prefix=prefix, seconds=seconds)
        if not environ.get("REDIS_URL"):
            raise Misconfigured("Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or REDIS_URL.")
        return cls(TcpTransport(environ["REDIS_URL"]), prefix=prefix, seconds=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections that are kept for the next call."""
        self._transport.close()

    def enqueue(self, function: str, *args: Any, **options: Unpack[Options]) -> Enqueued[Any]:
        """Enqueue ``function(*args, **kwargs)`` once; `function` is named with its module.

        An id that exists is left and returned as it is, whatever its state, so a call may be repeated. What `options`
        there are, and what they mean: `Options`. Raises `InvalidJob` before anything is sent, and `KeyReused`.
        """
        return self.enqueue_many([Call(function, *args, **options)])[0]

    def enqueue_many(self, calls: Iterable[Call]) -> list[Enqueued[Any]]:
        """Enqueue up to 1,000 jobs, all or none, in one request; each once, as `enqueue` does it.

        Of jobs that depend on each other, the one that waits comes after those that it waits for.
        """
        token = uuid.uuid4().hex
        records = [record(call, token) for call in calls]
        check_batch(records)
        return self._enqueue(records, token)[2]

    def ask(
        self,
        function: str,
        *args: Any,
        unique: str,
        cache_key: str,
        freshness: int,
        limit: tuple[str, int, int] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str = "default",
        rerun_after: float = 60.0,
        timeout: int | None = None,
        result_ttl: int | None = None,
        retry: Retry | int | None = None,
        callback_url: str | None = None,
    ) -> Answer:
        """Answer from what jobs cached as JSON under `cache_key` (`JobContext.cache_set`), or have it made.

        A value whose remaining time to live is at least `freshness` seconds is fresh and answered without a job; an
        older one is answered too, and refreshed in the background. `limit` is (who asks, calls, seconds): above it,
        `RateLimited` is raised. All in one request.
        """
        check_span("freshness", freshness)
        token = uuid.uuid4().hex
        options: Options = {
            "unique": unique,
            "rerun_after": rerun_after,
            "kwargs": kwargs,
            "queue": queue,
            "timeout": timeout,
            "result_ttl": result_ttl,
            "retry": retry,
            "callback_url": callback_url,
        }
        records = [record(Call(function, *args, **options), token)]
        outcome, cached, jobs = self._enqueue(records, token, cache=(cache_key, freshness), limit=limit)
        try:
            value = load_json(cached) if cached else None
        except NotANumber as error:
            raise Refused(f"What is cached there holds {error}, which JSON does not have.") from None
        except (ValueError, RecursionError):
            raise Refused("What is cached there is not JSON.") from None
        fresh = outcome == "fresh"
        return Answer(value, cached is not None and not fresh, None if fresh else jobs[0])

    def status(self, job_id: str, *, limit: tuple[str, int, int] | None = None) -> JobState:
        """Return where the job is; raises `NoSuchJob`.

        `limit` is (who asks, calls, seconds), as `ask` has it: above it, `RateLimited` is raised.
        """
        check_job_id(job_id)
        job, kept = self._key("job", job_id), self._key("results", job_id)
        if limit is None:
            reads = [["HMGET", job, *FIELDS], ["XREVRANGE", kept, "+", "-", "COUNT", "1"]]
            row, results = self._transport.call(reads, self._seconds)
        else:
            caller, calls, window = _checked_limit(limit)
            script = ["EVAL", READ, "3", job, kept, self._key("rate", caller), str(calls), str(window), *FIELDS]
            ((outcome, row, *rest),) = self._transport.call([script], self._seconds)
            if outcome == "limited":
                raise RateLimited(max(1, int(row)))
            (results,) = rest
        state = read(job_id, row, results)
        if state is None:
            raise NoSuchJob(job_id)
        return state

    @overload
    def result(self, job: Enqueued[T]) -> T: ...

    @overload
    def result(self, job: str) -> Any: ...

    def result(self, job: Enqueued[Any] | str) -> Any:
        """Return what the job returned; raises `NoSuchJob`, `NotFinished` and `JobFailed`."""
        return self.status(_id_of(job)).result()

    def log(self, job: Enqueued[Any] | str) -> list[LogLine]:
        """Return the last lines that the job has said, at most 200, while it runs too; raises `NoSuchJob`."""
        job_id = _id_of(job)
        check_job_id(job_id)
        reads = [["HGET", self._key("job", job_id), "created_at"], ["LRANGE", self._key("log", job_id), "0", "-1"]]
        created_at, entries = self._transport.call(reads, self._seconds)
        if created_at is None:
            raise NoSuchJob(job_id)
        return log_of(created_at, entries)

    def watch(self, job: Enqueued[Any] | str, seconds: float) -> Iterator[JobState]:
        """Yield the job's state, and again when status or progress have changed, until its end or for `seconds`."""
        job_id = _id_of(job)
        check_job_id(job_id)
        check_wait(seconds)
        deadline = time.monotonic() + seconds
        pause, last = _FIRST_LOOK, None
        while True:
            now = self.status(job_id)
            seen = (now.status, now.percent, now.message)
            if seen != last:
                yield now
                pause, last = _FIRST_LOOK, seen
            left = deadline - time.monotonic()
            if now.ended or left <= 0:
                return
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_LOOK)

    @overload
    def wait(self, job: Enqueued[T], seconds: float) -> T: ...

    @overload
    def wait(self, job: str, seconds: float) -> Any: ...

    def wait(self, job: Enqueued[Any] | str, seconds: float) -> Any:
        """Wait up to `seconds` for the job's end and return what it returned; raises as `result` does."""
        job_id = _id_of(job)
        check_job_id(job_id)
        check_wait(seconds)
        deadline = time.monotonic() + seconds
        pause = _FIRST_LOOK
        while True:
            left = max(0.0, deadline - time.monotonic())
            (status,) = self._transport.call(
                [["HGET", self._key("job", job_id), "status"]], min(self._seconds, max(left, 1.0))
            )
            if status is None or status in ENDED:
                return self.result(job_id)
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotFinished(job_id, status)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_LOOK)

    def cancel(self, job_id: str) -> str:
        """Cancel the job as RQ does and return its status: canceled, or what it had ended as before.

        A running job goes on; its outcome is dropped, and it is never started again. Raises `NoSuchJob`.
        """
        check_job_id(job_id)
        script = ["EVAL", CANCEL, "1", self._key("job", job_id), job_id, self._prefix, moment()]
        ((outcome, status),) = self._transport.call([script], self._seconds)
        if outcome == "missing":
            raise NoSuchJob(job_id)
        return str(status)

    def _enqueue(
        self,
        records: list[Record],
        token: str,
        *,
        cache: tuple[str, int] | None = None,
        limit: tuple[str, int, int] | None = None,
    ) -> tuple[str, str | None, list[Enqueued[Any]]]:
        """Return the outcome, what was cached, and the jobs; raises `RateLimited`, `KeyReused` and `Unreachable`."""
        caller, calls, window = ("", "", "") if limit is None else _checked_limit(limit)
        keys = [f"{self._prefix}:queues"]
        cache_key, freshness = cache or ("", "")
        if cache is not None or limit is not None:
            keys.append(self._key("cache", cache_key))
        if limit is not None:
            keys.append(self._key("rate", caller))
        arguments = [self._prefix, token, moment(), str(freshness), str(calls), str(window), str(len(records))]
        jobs = [text for one in records for text in one.arguments]
        try:
            ((outcome, cached, number, *made),) = self._transport.call(
                [["EVAL", ENQUEUE, str(len(keys)), *keys, *arguments, *jobs]], self._seconds
            )
        except Unreachable as error:
            alone = len(records) == 1 and not records[0].mark
            raise Unreachable(f"{error} {_not_known(records)}", records[0].id if alone else None) from None
        if outcome == "limited":
            raise RateLimited(max(1, int(number)))
        if outcome == "conflict":
            raise KeyReused(int(number) - 1)
        return outcome, cached, [Enqueued(job_id, what == "created", status) for what, job_id, status in made]

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"


def _checked_limit(limit: tuple[str, int, int]) -> tuple[str, int, int]:
    check_span("the calls of limit", limit[1])
    check_span("the seconds of limit", limit[2])
    return limit


def _id_of(job: Enqueued[Any] | str) -> str:
    return job.id if isinstance(job, Enqueued) else job


def _not_known(records: list[Record]) -> str:
    if all(one.mark for one in records):
        return "It is not known whether it was enqueued; make the same call again, and its key makes it one job."
    if len(records) == 1:
        return (
            f"It is not known whether the job {records[0].id} was enqueued; enqueue it again with that job_id, and it "
            f"runs once."
        )
    return (
        "It is not known whether the jobs were enqueued: all of them, or none. Jobs with a job_id, a unique or an "
        "idempotency key may be enqueued again, and run once."
    )
