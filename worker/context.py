"""What a running job may use of the worker: its identity, its progress, a shared cache, a few settings.

Job functions call `current()` and know neither Redis nor the environment, so they also run in a plain REPL or
a unit test: outside a job `current()` answers an `OfflineContext`, which keeps everything in memory.
"""

from __future__ import annotations

import json
import math
import uuid
from abc import ABC, abstractmethod
from contextvars import ContextVar, Token
from time import monotonic
from typing import TYPE_CHECKING, Any

from structlog import get_logger

from worker.keys import Keys

if TYPE_CHECKING:
    from pydantic import SecretStr
    from redis import Redis
    from rq.job import Job

    from producer import Producer

#: The key under `job.meta` where producers find the progress.
PROGRESS_KEY = "progress"


class ShutdownRequested(BaseException):
    """The service stops and its grace is over: the job ends here and goes back to the head of its queue.

    Not an `Exception`, so that a job's ``except Exception`` does not swallow it. A job may catch it to save a
    checkpoint, and must let it pass on.
    """


class JobStopped(BaseException):
    """This job is stopped by order (RQ's `stop-job`, `kill-horse`). A job's ``except Exception`` does not catch it."""


class JobContext(ABC):
    """What a job may use.

    `attempt` is 1 on the first run. `allow_private_addresses` (WORKER_ALLOW_PRIVATE_ADDRESSES) lets jobs
    talk to loopback and private addresses, in development. `notify_secret` (NOTIFY_SECRET) signs what
    `jobs.notifications` sends.
    """

    __slots__ = ("allow_private_addresses", "attempt", "job_id", "notify_secret", "queue")

    def __init__(
        self,
        job_id: str,
        queue: str,
        attempt: int,
        *,
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
    ) -> None:
        self.job_id = job_id
        self.queue = queue
        self.attempt = attempt
        self.allow_private_addresses = allow_private_addresses
        self.notify_secret = notify_secret

    @staticmethod
    def for_job(
        job: Job,
        connection: Redis,
        queue: str,
        attempt: int,
        *,
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
    ) -> RedisContext:
        """Make the context of `job`, which is about to run. `connection` must not decode responses."""
        context = RedisContext(
            job.id,
            queue,
            attempt,
            allow_private_addresses=allow_private_addresses,
            notify_secret=notify_secret,
        )
        context._job = job
        context._connection = connection
        context._trouble_logged = False
        return context

    @abstractmethod
    def progress(self, percent: float, message: str) -> None:
        """Publish how far the job is, for its producer; `percent` is cut to 0–100. NaN and infinity mean unknown."""

    @abstractmethod
    def cache_get(self, key: str) -> bytes | None:
        """Return what was cached under `key`, or None."""

    @abstractmethod
    def cache_set(self, key: str, value: bytes, ttl: int) -> None:
        """Cache `value` for `ttl` seconds (at least 1).

        If it is JSON, null stands in the place of NaN and infinity, which JSON does not have.
        """

    @abstractmethod
    def producer(self) -> Producer:
        """Return a producer on the Redis that this job came from: enqueue further jobs, ask how others ended."""


class RedisContext(JobContext):
    """The context of a job that a consumer runs; made by `JobContext.for_job`.

    Progress and cache are conveniences: Redis trouble in them is logged once per job and otherwise looks
    like a miss. It never fails the job.
    """

    __slots__ = ("_connection", "_job", "_trouble_logged")
    _job: Job
    _connection: Redis
    _trouble_logged: bool

    def progress(self, percent: float, message: str) -> None:
        """Write ``{"percent", "message"}`` to `job.meta["progress"]`, where RQ clients read it."""
        self._job.meta[PROGRESS_KEY] = _progress(percent, message)
        try:
            self._job.save_meta()
        except _redis_errors() as error:
            self._log_trouble("progress", error)

    def cache_get(self, key: str) -> bytes | None:
        """Return what any worker of this Redis cached under `key`, or None."""
        try:
            value = self._connection.get(_cache_key(key))
        except _redis_errors() as error:
            self._log_trouble("cache_get", error)
            return None
        return value if isinstance(value, bytes) else None

    def cache_set(self, key: str, value: bytes, ttl: int) -> None:
        """Cache `value` for every worker of this Redis."""
        try:
            self._connection.set(_cache_key(key), _cacheable(value), ex=max(1, ttl))
        except _redis_errors() as error:
            self._log_trouble("cache_set", error)

    def producer(self) -> Producer:
        """Return a producer on this job's Redis; unlike the cache, its trouble is raised (`producer.ProducerError`)."""
        from rq.defaults import RQ_KEY_PREFIX  # noqa: PLC0415

        from producer import Producer  # noqa: PLC0415 — most jobs enqueue none
        from producer.tcp import TcpTransport  # noqa: PLC0415

        return Producer(TcpTransport.over(self._connection), prefix=RQ_KEY_PREFIX)

    def _log_trouble(self, operation: str, error: Exception) -> None:
        if not self._trouble_logged:
            self._trouble_logged = True
            get_logger().warning("job.context_degraded", operation=operation, error=type(error).__name__)


class OfflineContext(JobContext):
    """The context of code that no consumer runs. `reported` holds the progress, newest last."""

    def __init__(
        self,
        job_id: str | None = None,
        *,
        attempt: int = 1,
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
    ) -> None:
        super().__init__(
            job_id or f"offline-{uuid.uuid4()}",
            "offline",
            attempt,
            allow_private_addresses=allow_private_addresses,
            notify_secret=notify_secret,
        )
        self.reported: list[dict[str, Any]] = []
        self._cache: dict[str, tuple[float, bytes]] = {}

    def progress(self, percent: float, message: str) -> None:
        """Append ``{"percent", "message"}`` to `reported`."""
        self.reported.append(_progress(percent, message))

    def cache_get(self, key: str) -> bytes | None:
        """Return what this context cached under `key`, or None."""
        expires_at, value = self._cache.get(key, (0.0, b""))
        return value if monotonic() < expires_at else None

    def cache_set(self, key: str, value: bytes, ttl: int) -> None:
        """Cache `value` in this context's memory."""
        self._cache[key] = (monotonic() + max(1, ttl), _cacheable(value))

    def producer(self) -> Producer:
        """Raise `RuntimeError`: there is no Redis here."""
        raise RuntimeError("Outside a worker there is no Redis to enqueue on; run this as a job.")


#: Shared by everything that runs outside a job, so that a REPL keeps its cache from one call to the next.
_OFFLINE = OfflineContext()
_current: ContextVar[JobContext] = ContextVar("worker.context", default=_OFFLINE)


def current() -> JobContext:
    """Return the context of the job that runs here, or one that lives in memory."""
    return _current.get()


def enter(context: JobContext) -> None:
    """Make `context` the current one for the rest of the running `contextvars` context, a job's own."""
    _current.set(context)


class use:  # noqa: N801  reads as a verb, `with context.use(ctx):`, and costs a third of a @contextmanager
    """Make `context` the current one inside a ``with`` block of this thread or task."""

    __slots__ = ("_context", "_token")
    _token: Token[JobContext]

    def __init__(self, context: JobContext) -> None:
        self._context = context

    def __enter__(self) -> JobContext:
        self._token = _current.set(self._context)
        return self._context

    def __exit__(self, *exc_info: object) -> None:
        _current.reset(self._token)


def _progress(percent: float, message: str) -> dict[str, Any]:
    finite = isinstance(percent, int) or math.isfinite(percent)
    return {"percent": min(100, max(0, int(percent))) if finite else None, "message": message}


def _cacheable(value: bytes) -> bytes:
    """Return what is cached for `value`: producers in other languages could not read a JSON text with NaN in it."""
    if b"NaN" not in value and b"Infinity" not in value:
        return value
    try:
        json.loads(value, parse_constant=_not_json)
    except _NotJson:
        return json.dumps(json.loads(value, parse_constant=lambda _name: None)).encode()
    except (ValueError, RecursionError):
        pass  # it is no JSON: whoever cached it knows what it is
    return value


class _NotJson(Exception):
    """A JSON text holds NaN or infinity."""


def _not_json(name: str) -> None:
    raise _NotJson(name)


def _cache_key(key: str) -> str:
    # RQ owns the prefix. Imported here because processes that import no rq import this module.
    from rq.defaults import RQ_KEY_PREFIX  # noqa: PLC0415

    return Keys(RQ_KEY_PREFIX).cache(key)


def _redis_errors() -> tuple[type[Exception], ...]:
    # Evaluated only once something was raised: redis is loaded by then, and stays out of the other processes.
    from redis.exceptions import RedisError  # noqa: PLC0415

    return (RedisError, OSError)
