"""What a running job may use of the worker: identity, progress and log, steps and cursors, a shared cache, settings.

Job functions call `current()` and know neither Redis nor the environment, so they also run in a plain REPL or
a unit test: outside a job `current()` answers an `OfflineContext`, which keeps everything in memory.
"""

from __future__ import annotations

import inspect
import json
import math
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from structlog import get_logger

from worker.job_log import MOST_LINES, cut
from worker.journal import CURSOR, STEP, ClaimLost, Entry, Journal, Kept, NotKept, StepError, Store, Stores, check_name
from worker.keys import Keys

if TYPE_CHECKING:
    from pydantic import SecretStr
    from redis import Redis
    from rq.job import Job

    from producer import Producer

__all__ = [
    "ClaimLost",
    "ConsumerContext",
    "Cursor",
    "JobContext",
    "JobStopped",
    "NotKept",
    "OfflineContext",
    "RedisContext",
    "ShutdownRequested",
    "StepError",
    "current",
    "enter",
    "use",
]

#: The key under `job.meta` where producers find the progress.
PROGRESS_KEY = "progress"


class ShutdownRequested(BaseException):
    """The service stops: the job ends here and goes back to the head of its queue, without burning an attempt.

    Raised anywhere once the grace is over, and before that where the job says it may be left: at a step, a cursor, a
    check. Not an `Exception`, so that a job's ``except Exception`` does not swallow it. A job may catch it to save a
    checkpoint, and must let it pass on.
    """


class JobStopped(BaseException):
    """This job is stopped by order (RQ's `stop-job`, `kill-horse`). A job's ``except Exception`` does not catch it."""


@dataclass(frozen=True, slots=True)
class ConsumerContext:
    """What the hooks `consumer_started` and `consumer_stopping` learn of their consumer (docs/lifecycle.md)."""

    name: str  #: as Redis knows it
    queues: tuple[str, ...]  #: highest priority first
    threads: int  #: jobs that it runs at the same time (WORKER_THREADS): a pool needs so many connections


class Log(Protocol):
    """Keeps the log of one run."""

    def add(self, message: object, percent: int | None = None) -> None:
        """Say a line; a line of progress has a percentage."""
        ...

    def close(self, ttl: int | None) -> None:
        """The run has ended; `ttl`: how long what it said is kept (seconds; -1 = for ever), None if more may follow."""
        ...


class Logs(Protocol):
    """Makes the logs of one consumer."""

    def of(self, claim: Any) -> Log:
        """Return the log of the run that owns a claim."""
        ...


class Cursor:
    """Where a loop stands: a JSON value that outlives this run of the job. Made by `JobContext.cursor`."""

    __slots__ = ("_context", "_journal", "_start", "name")

    def __init__(self, context: JobContext, name: str, start: Any) -> None:
        self._context = context
        self._journal = context._journal
        self._start = start
        self.name = name

    @property
    def value(self) -> Any:
        """Where it was moved to last, in whichever run; the start that was given if it never was."""
        return self._journal.position(self.name, self._start)

    def advance(self, value: Any) -> None:
        """Keep `value` (JSON), in one command; then the job may be left: see `JobContext.check`."""
        self._journal.move(self.name, self._journal.encoded(self.name, value))
        self._context._halt(f"at the cursor {self.name!r}")


class JobContext(ABC):
    """What a job may use.

    `attempt` is 1 on the first run, `function` the dotted name of the job's function. `allow_private_addresses`
    (WORKER_ALLOW_PRIVATE_ADDRESSES) lets jobs talk to loopback and private addresses, in development. `notify_secret`
    (NOTIFY_SECRET) signs what `jobs.notifications` sends, to sites of `callback_origins` (WORKER_CALLBACK_ORIGINS) if
    there are any.
    """

    __slots__ = (
        "allow_private_addresses",
        "attempt",
        "callback_origins",
        "function",
        "job_id",
        "notify_secret",
        "queue",
        "recycles",
    )

    def __init__(
        self,
        job_id: str,
        queue: str,
        attempt: int,
        *,
        function: str = "",
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
        callback_origins: tuple[str, ...] = (),
    ) -> None:
        self.recycles = False  #: whether the job has asked for a fresh process
        self.function = function
        self.job_id = job_id
        self.queue = queue
        self.attempt = attempt
        self.allow_private_addresses = allow_private_addresses
        self.notify_secret = notify_secret
        self.callback_origins = callback_origins

    @staticmethod
    def for_job(
        job: Job,
        connection: Redis,
        queue: str,
        attempt: int,
        *,
        function: str = "",
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
        journals: Stores | None = None,
        logs: Logs | None = None,
        claim: object = None,
        callback_origins: tuple[str, ...] = (),
    ) -> RedisContext:
        """Make the context of `job`, which is about to run. `connection` must not decode responses.

        `journals` keep what its steps return and `logs` what it says, behind the fence of `claim`; without them it has
        no steps, and what it says is lost.
        """
        context = RedisContext(
            job.id,
            queue,
            attempt,
            function=function,
            allow_private_addresses=allow_private_addresses,
            notify_secret=notify_secret,
            callback_origins=callback_origins,
        )
        context._job = job
        context._connection = connection
        context._trouble_logged = False
        context._journals = journals
        context._logs = logs
        context._claim = claim
        context._opened = None
        context._log = None
        context.lives = None
        return context

    @abstractmethod
    def progress(self, percent: float, message: str) -> None:
        """Publish how far the job is, for its producer, and in its log; `percent` is cut to 0–100.

        NaN and infinity mean unknown.
        """

    @abstractmethod
    def log(self, message: object) -> None:
        """Add a line to the job's log, which its producer, the console and `python -m worker log` read while it runs.

        The last 200 lines are kept beside the job and as long as it; a line has at most 500 bytes of UTF-8, what is
        beyond them is cut off. It may be called in a loop: lines are sent together, once a second.
        """

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

    def recycle(self) -> None:
        """Ask for a fresh process: when this job has ended, however it ends, its consumer is replaced.

        For what only a new process mends, such as a broken connection of a module that cannot be opened again. The
        next jobs run in the successor, at once; jobs that other threads of the consumer run may end first. A job
        that runs in a process of its own has a fresh one anyway.
        """
        self.recycles = True

    # -- steps and cursors: docs/long-jobs.md ------------------------------------------------------------------------

    @property
    @abstractmethod
    def _journal(self) -> Journal:
        """The journal of this run."""

    @property
    @abstractmethod
    def _store(self) -> Store:
        """What keeps the journal, and knows whether the run may go on."""

    @property
    def stopping(self) -> bool:
        """Whether the service stops: the job's next step, cursor or check hands it back."""
        return self._store.stopping

    @property
    def deadline(self) -> float:
        """When the job's timeout ends it, by `time.monotonic()`; infinity without one."""
        return self._store.deadline

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once in all runs of this job; return what it returned, as JSON gives it back.

        A name stands for one result: called again with it, in this run or the next, it returns what was kept and calls
        nothing, so a loop puts the item's number or id into the name. A run that ends between the function and the
        keeping of its result repeats it: **at least once**. Of a coroutine function the result is awaited.
        The job may be left before the function is called: see `check`.

        Raises `StepError` for a result that is no JSON, `NotKept` when Redis could not keep it until the job's timeout.
        """
        check_name(STEP, name)
        if inspect.iscoroutinefunction(function):
            return self._async_step(name, function, args, kwargs)
        kept = self._before(name, self._journal.kept(name))
        if kept is not None:
            return kept.value
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise StepError(f"The step {name!r} returned an awaitable; give it the coroutine function itself.")
        return self._journal.keep(name, value)

    async def _async_step(
        self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do the same with a coroutine function. The journal is asked in another thread: the loop goes on meanwhile."""
        import asyncio  # noqa: PLC0415 — the supervisor and most jobs have no use for it

        kept = self._before(name, await asyncio.to_thread(self._journal.kept, name))
        if kept is not None:
            return kept.value
        return await asyncio.to_thread(self._journal.keep, name, await function(*args, **kwargs))

    def cursor(self, name: str = "cursor", start: Any = None) -> Cursor:
        """Return a cursor; its value is `start` until it is moved."""
        check_name(CURSOR, name)
        return Cursor(self, name, start)

    def resume(
        self,
        name: str,
        items: Iterable[Any] | Callable[[Any], Iterable[Any]],
        *,
        key: Callable[[Any], Any] | None = None,
    ) -> Iterator[Any]:
        """Go through items, and in the next run on from the first that was not done: each is done **at least once**.

        `items` is called with the cursor's value (None in the beginning) and returns what comes after it; the value is
        the last item, or `key` of it, and must be JSON. An iterable is counted instead: it must have the same order in
        each run. An item is done when the loop asks for the next one, which is one command; there the job may be left.
        """
        cursor = self.cursor(name)
        if isinstance(items, Iterable):
            done = cursor.value or 0
            placed: Iterator[tuple[Any, Any]] = enumerate(islice(items, done, None), done + 1)
        else:
            placed = ((item if key is None else key(item), item) for item in items(cursor.value))
        journal, missing = cursor._journal, object()
        while True:
            self._halt(f"at the cursor {name!r}")
            place, item = next(placed, (None, missing))
            if item is missing:
                return
            text = journal.encoded(name, place)  # before the item's work: a bad key is no reason to do it twice
            yield item
            journal.move(name, text)

    def check(self) -> None:
        """Let the job be left here, if it must.

        Raises `ShutdownRequested` while the service stops: the job goes back to its queue. Raises `JobStopped` for an
        order, `ClaimLost` if it was canceled or deleted or another worker runs it by now. Redis is asked about that at
        most once a second, so it may be called in a loop.
        """
        self._halt("at a check")
        self._store.look()

    def _before(self, name: str, kept: Kept | None) -> Kept | None:
        self._halt(f"before the step {name!r}")
        if kept is not None:
            self._store.look()
        return kept

    def _halt(self, where: str) -> None:
        store = self._store
        if store.stopping:
            raise ShutdownRequested(where)
        if store.ordered:
            raise JobStopped(where)


class RedisContext(JobContext):
    """The context of a job that a consumer runs; made by `JobContext.for_job`.

    Progress, log and cache are conveniences: Redis trouble in them is logged once per job and otherwise looks
    like a miss. It never fails the job. `lives` is how long a job is kept (seconds; -1 = for ever) that has returned.
    """

    __slots__ = ("_claim", "_connection", "_job", "_journals", "_log", "_logs", "_opened", "_trouble_logged", "lives")
    _job: Job
    _connection: Redis
    _trouble_logged: bool
    _journals: Stores | None
    _logs: Logs | None
    _claim: object
    _opened: tuple[Store, Journal] | None
    _log: Log | None
    lives: int | None

    def progress(self, percent: float, message: str) -> None:
        """Write ``{"percent", "message"}`` to `job.meta["progress"]`, where RQ clients read it, and to the log."""
        told = self._job.meta[PROGRESS_KEY] = _progress(percent, message)
        self._say(message, told["percent"])
        try:
            self._job.save_meta()
        except _redis_errors() as error:
            self._log_trouble("progress", error)

    def log(self, message: object) -> None:
        """Add a line to the log."""
        self._say(message, None)

    def close(self) -> None:
        """The job's code has ended: send what is left of its log."""
        if self._log is not None:
            self._log.close(self.lives)

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

    @property
    def _store(self) -> Store:
        return self._open()[0]

    @property
    def _journal(self) -> Journal:
        return self._open()[1]

    def _open(self) -> tuple[Store, Journal]:
        """Open the journal when it is first used; most jobs use none."""
        if self._opened is None:
            if self._journals is None:
                raise RuntimeError("This context was made without journals, so the job has no steps and no cursors.")
            with _opening:
                if self._opened is None:
                    store = self._journals.of(self._claim)
                    self._opened = store, Journal(store, self._journals.most_bytes)
        return self._opened

    def _say(self, message: object, percent: int | None) -> None:
        if self._log is None and self._logs is not None:
            with _opening:
                if self._log is None:
                    self._log = self._logs.of(self._claim)
        if self._log is not None:
            self._log.add(message, percent)

    def _log_trouble(self, operation: str, error: Exception) -> None:
        if not self._trouble_logged:
            self._trouble_logged = True
            get_logger().warning("job.context_degraded", operation=operation, error=type(error).__name__)


#: Threads of one job may use its journal, or its log, first at the same time.
_opening: Final = threading.Lock()


class OfflineContext(JobContext):
    """The context of code that no consumer runs. `reported` holds the progress, `logged` the log, newest last.

    Steps and cursors are kept in this object, by the same rules; use one object for two runs to test how a job goes on.
    `stopping` and `deadline` may be set. The context outside of all jobs keeps no steps (`keeps` False).
    """

    def __init__(
        self,
        job_id: str | None = None,
        *,
        attempt: int = 1,
        allow_private_addresses: bool = False,
        notify_secret: SecretStr | None = None,
        keeps: bool = True,
        callback_origins: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            job_id or f"offline-{uuid.uuid4()}",
            "offline",
            attempt,
            allow_private_addresses=allow_private_addresses,
            notify_secret=notify_secret,
            callback_origins=callback_origins,
        )
        self.reported: list[dict[str, Any]] = []
        self.logged: list[str] = []
        self._cache: dict[str, tuple[float, bytes]] = {}
        self._memory = _Memory()
        self._keeps = keeps
        self._own_journal = Journal(self._memory)

    def progress(self, percent: float, message: str) -> None:
        """Append ``{"percent", "message"}`` to `reported`, and the message to `logged`."""
        self.reported.append(_progress(percent, message))
        self.log(message)

    def log(self, message: object) -> None:
        """Append a line to `logged`, cut as a consumer cuts it; the last 200 are kept."""
        self.logged.append(cut(message).decode())
        del self.logged[:-MOST_LINES]

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

    @property
    def stopping(self) -> bool:
        """Whether the service is said to stop."""
        return self._memory.stopping

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._memory.stopping = value

    @property
    def deadline(self) -> float:
        """When the job's timeout would end it."""
        return self._memory.deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._memory.deadline = value

    @property
    def _store(self) -> Store:
        return self._memory

    @property
    def _journal(self) -> Journal:
        return self._own_journal if self._keeps else Journal(self._memory)


class _Memory:
    """A store that keeps nothing: the journal above it does."""

    def __init__(self) -> None:
        self.stopping = False
        self.ordered = False
        self.deadline = math.inf

    def read(self) -> list[Entry]:
        return []

    def write(self, field: str, text: str, standing: str) -> None:
        pass

    def look(self) -> None:
        pass


#: Shared by everything that runs outside a job, so that a REPL keeps its cache from one call to the next. It keeps no
#: steps: two tests that call one function would see each other's.
_OFFLINE = OfflineContext(keeps=False)
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
