"""From a job's hash to a call that may be made.

Three gates stand between a payload and the interpreter. The serializer must be one that `WORKER_SERIALIZERS` accepts.
A pickle passes only an unpickler that finds plain data, the job packages' own classes and those of
`WORKER_PICKLE_CLASSES`, see ``serializers.py``. The function must be defined in a package of `WORKER_JOB_MODULES`;
nothing outside them is ever imported because a payload names it.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Self, TypeVar

from redis import Redis
from rq.exceptions import DeserializationError
from rq.job import Job

from worker import logs
from worker.engine import plain_hash, rq_private
from worker.engine.errands import Errands
from worker.engine.meta import MetaKeepingJob
from worker.engine.plain_hash import LONGEST_SECONDS, read_date
from worker.engine.records import Claim
from worker.engine.serializers import Json, Refused, Serializer
from worker.engine.unpickling import AllowListedPickle, belongs
from worker.engine.unread import PlainData, Unread, function_named
from worker.engine.webhooks import PUBLIC, GuardedWebhook, Reach
from worker.retry import RetryPolicy, policy_of
from worker.settings import Settings

log = logs.get_logger()

#: Fields of a job's hash that hold dates; RQ parses each with strptime, which costs more than the rest of a job.
_DATES: Final = (b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat")
#: Characters of a function's dotted name.
LONGEST_NAME: Final = 255
#: A payload that grows beyond this when it is decompressed is refused, unless WORKER_MAX_PAYLOAD_BYTES says otherwise.
MOST_PAYLOAD_BYTES: Final = 20_000_000


_Job = TypeVar("_Job", bound=MetaKeepingJob)


class Payloads:
    """Restores jobs and resolves their functions.

    `packages` are dotted names of packages whose functions may run; `serializers` are among "json" and "pickle";
    `classes` are the names of WORKER_PICKLE_CLASSES; a job may save `max_meta_bytes` of meta (0 = any); `most_bytes`
    bounds a decompressed payload; `reach` is how far the job's webhooks go, which are among `errands` if there are any.
    """

    def __init__(
        self,
        packages: Iterable[str],
        serializers: Iterable[str],
        classes: Iterable[str] = (),
        *,
        max_meta_bytes: int = 0,
        most_bytes: int = MOST_PAYLOAD_BYTES,
        reach: Reach = PUBLIC,
        errands: Errands | None = None,
    ) -> None:
        self._most_bytes = most_bytes
        self._reach = reach
        self.errands = errands
        self.packages = tuple(packages)
        self._package_set = frozenset(self.packages)
        known: dict[str, Serializer] = {"json": Json(), "pickle": AllowListedPickle(self.packages, classes)}
        self._serializers = {name: known[name] for name in serializers}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._max_meta_bytes = max_meta_bytes

    @classmethod
    def of(cls, settings: Settings, errands: Errands | None = None) -> Self:
        """Return the one that the settings describe."""
        return cls(
            settings.worker_job_modules,
            settings.worker_serializers,
            settings.worker_pickle_classes,
            max_meta_bytes=settings.worker_max_result_bytes,
            most_bytes=settings.worker_max_payload_bytes,
            reach=Reach.of(settings),
            errands=errands,
        )

    def restore(self, claim: Claim, connection: Redis) -> Job:
        """Build RQ's `Job` from a claim; raises `Refused` when the hash or the payload cannot be read.

        The payload of a stranger may end the process, or never end: the job must be on the scoreboard.
        """
        data = self._data_of(claim)
        job = self._of_hash(MetaKeepingJob, claim, connection, data, self._serializer(data))
        try:
            rq_private.read_payload(job)
        except DeserializationError as error:
            cause = error.__cause__ or error
            if isinstance(cause, Refused):
                raise cause from None
            raise Refused(
                "unreadable_payload",
                f"The payload of job {claim.job_id} cannot be read ({type(cause).__name__}: {cause}). It must be RQ's "
                f"(function name, instance, args, kwargs), pickled or as JSON, compressed or not.",
            ) from cause
        return job

    def unread(self, claim: Claim, connection: Redis) -> Unread | None:
        """Build the job of a claim without reading its payload; None when the hash cannot be read."""
        try:
            data = self._data_of(claim)
            job = self._of_hash(Unread, claim, connection, data, PlainData(pickled=data[:1] == b"\x80"))
        except Refused:
            return None
        rq_private.set_call(job, function_named(data))
        rq_private.set_callbacks(job, None, None, None)
        job.whole = lambda: self._whole(job, claim, connection)
        return job

    def policy(self, job: Unread) -> RetryPolicy | None:
        """Return the policy of a job's function, None where there is no such function. Imports its module."""
        try:
            return policy_of(self._named(rq_private.function_name(job)))
        except Exception:  # noqa: BLE001 — importing a module of the jobs may raise anything
            return None

    def _whole(self, unread: Unread, claim: Claim, connection: Redis) -> Job:
        """Read a job's payload after all; what cannot be read, or names callbacks that may not run, has none."""
        try:
            job = self.restore(claim, connection)
            self.function(job)
        except Exception as error:  # noqa: BLE001 — importing a module of the jobs may raise anything
            log.warning("job.callbacks_unreadable", job_id=claim.job_id, error=str(error)[:500])
            return unread
        return job

    def _data_of(self, claim: Claim) -> bytes:
        data = claim.fields.get(b"data")
        if not data:
            raise Refused(
                "unreadable_hash",
                f"The hash of job {claim.job_id} has no `data` field: its producer did not write RQ's format.",
            )
        return self._decompressed(data)

    def _of_hash(
        self, kind: type[_Job], claim: Claim, connection: Redis, data: bytes, serializer: Serializer | PlainData
    ) -> _Job:
        """Build a job of the fields of its hash, with `data` as its payload, decompressed."""
        try:
            job = plain_hash.blank(kind, claim.job_id, connection)
        except ValueError as error:
            raise Refused(
                "unreadable_hash", f"The id {claim.job_id!r} is none that RQ gives to jobs: {error}."
            ) from None
        job.max_meta_bytes = self._max_meta_bytes
        job.serializer = serializer
        known = plain_hash.read(claim.fields)
        if known is None:
            self._restore_with_rq(job, claim)
        else:
            job.__dict__.update(known)
        job.data = data
        job.origin = job.origin or claim.origin
        return job

    def _restore_with_rq(self, job: MetaKeepingJob, claim: Claim) -> None:
        fields = dict(claim.fields)
        fields[b"data"] = b""  # or RQ would decompress it once more, without a bound
        fields.pop(b"exc_info", None)  # likewise; older releases of RQ wrote it
        dates = [(name, fields.pop(name)) for name in _DATES if fields.get(name)]
        try:
            job.restore(fields)
            for name, text in dates:
                setattr(job, name.decode(), read_date(text))
            _bound_spans(job)
            if job.webhooks:
                job.webhooks = [GuardedWebhook.of(webhook, self._reach, self.errands) for webhook in job.webhooks]
        except Exception as error:
            raise Refused(
                "unreadable_hash",
                f"The hash of job {claim.job_id} cannot be read ({type(error).__name__}: {error}). RQ's own worker "
                f"would quit on it. Dates must look like 2026-11-25T04:37:30.000000Z, timeouts, TTLs and counters must "
                f"be whole numbers, and the status must be one of RQ's.",
            ) from error

    def _decompressed(self, data: bytes) -> bytes:
        """Return a payload as its serializer wrote it; raises `Refused` when it is too large."""
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(data, self._most_bytes + 1)
            if not inflater.eof and len(plain) <= self._most_bytes:
                plain = data  # RQ takes what is no whole stream of zlib as it is: REST producers write plain JSON
        except zlib.error:
            plain = data
        if len(plain) > self._most_bytes:
            raise Refused(
                "payload_too_large",
                f"The payload has more than the {self._most_bytes:,} bytes that WORKER_MAX_PAYLOAD_BYTES allows, "
                f"decompressed; {len(data):,} were enqueued.",
            )
        return plain

    def function(self, job: Job) -> Callable[..., Any]:
        """Return what `job` calls; raises `Refused` for anything outside the job packages, its callbacks included."""
        callbacks = rq_private.callback_names(job)
        if any(callbacks):
            self._resolve_callbacks(job, callbacks)
        name = rq_private.function_name(job)
        instance = rq_private.instance(job)
        if not isinstance(name, str):
            raise Refused("unreadable_payload", "The payload's function name is not a text.")
        if instance is not None:
            return self._method(instance, name)
        return self._named(name)

    def known(self, job: Job) -> Callable[..., Any] | None:
        """Return what `function` returns, where that is known already and takes no importing; else None."""
        if rq_private.instance(job) is not None or any(rq_private.callback_names(job)):
            return None
        name = rq_private.function_name(job)
        return self._functions.get(name) if isinstance(name, str) else None

    def imports(self, job: Job) -> bool:
        """Whether `function` has something to import for `job`."""
        names = (rq_private.function_name(job), *rq_private.callback_names(job))
        known = (not name or (isinstance(name, str) and name in self._functions) for name in names)
        return rq_private.instance(job) is None and not all(known)

    def _resolve_callbacks(self, job: Job, names: tuple[str | None, str | None, str | None]) -> None:
        # None first: should one be refused, RQ's code that buries the job must not import what the hash names.
        rq_private.set_callbacks(job, None, None, None)
        success, failure, stopped = (self._named(name) if name else None for name in names)
        rq_private.set_callbacks(job, success, failure, stopped)

    def _named(self, name: str) -> Callable[..., Any]:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._import(name)
        return function

    def _serializer(self, data: bytes) -> Serializer:
        """Choose by the first byte: a pickle of protocol 2 or newer begins with 0x80, JSON as RQ writes it with '['."""
        name = "pickle" if data[:1] == b"\x80" else "json"
        try:
            return self._serializers[name]
        except KeyError:
            raise Refused(
                "refused_serializer",
                f"The payload is {name}, and WORKER_SERIALIZERS accepts only {', '.join(self._serializers)}.",
            ) from None

    def _method(self, instance: Any, name: str) -> Callable[..., Any]:
        owner = instance if isinstance(instance, type) else type(instance)
        if name.startswith("_") or not belongs(owner.__module__, self._package_set):
            raise self._refuse(f"{owner.__module__}.{owner.__qualname__}.{name}")
        method: Any = getattr(instance, name, None)
        if not callable(method):
            raise Refused("unknown_function", f"{owner.__module__}.{owner.__qualname__} has no method {name}.")
        return method  # type: ignore[no-any-return]

    def _import(self, name: str) -> Callable[..., Any]:
        if len(name) > LONGEST_NAME:  # each dot in it would be tried as the end of a module's name
            raise Refused(
                "refused_function",
                f"The job asks for a function whose name has {len(name):,} characters; {LONGEST_NAME:,} are allowed.",
            )
        if not belongs(name.rpartition(".")[0], self._package_set):
            raise self._refuse(name)
        parts = name.split(".")
        module: ModuleType | None = None
        for cut in range(len(parts) - 1, 0, -1):
            path = ".".join(parts[:cut])
            try:
                module = import_module(path)
            except ModuleNotFoundError as error:
                if error.name is not None and (path == error.name or path.startswith(error.name + ".")):
                    continue  # no such module: the rest of the name is an attribute of a shorter one
                raise
            break
        found: Any = module
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if module is None or found is None:
            raise Refused(
                "unknown_function",
                f"There is no function {name} in this release. Deploy the release that has it and replay the job, or "
                f"correct the name where it is enqueued.",
            )
        if not callable(found) or not belongs(getattr(found, "__module__", "") or "", self._package_set):
            raise self._refuse(name)
        return found  # type: ignore[no-any-return]

    def _refuse(self, name: str) -> Refused:
        own = name.partition(".")[0] in sys.stdlib_module_names
        return Refused(
            "refused_function",
            f"The job asks for {name}, which is not defined in a package of WORKER_JOB_MODULES "
            f"({', '.join(self.packages)}). "
            + (
                "Functions of Python's own cannot be allowed: write one in a job package that calls it."
                if own
                else "Move the function there or add its package to the variable."
            ),
        )


_SPANS: Final = (
    *("result_ttl", "failure_ttl", "ttl", "timeout"),
    *("_success_callback_timeout", "_failure_callback_timeout", "_stopped_callback_timeout"),
)


def _bound_spans(job: Job) -> None:
    """Cut times to live, timeouts and intervals that are too long; raises ValueError for those that are no numbers."""
    for name in _SPANS:
        span = getattr(job, name)
        if span is not None and span > LONGEST_SECONDS:
            setattr(job, name, LONGEST_SECONDS)
    if job.retry_intervals is not None:
        job.retry_intervals = _intervals(job.retry_intervals)
    if job.repeat_intervals is not None:
        job.repeat_intervals = _intervals(job.repeat_intervals)


def _intervals(given: Any) -> list[float]:
    if not isinstance(given, list) or not all(isinstance(seconds, int | float) for seconds in given):
        raise ValueError("retry and repeat intervals must be a list of numbers of seconds")
    if not all(math.isfinite(seconds) for seconds in given if isinstance(seconds, float)):
        raise ValueError("retry and repeat intervals must be finite numbers of seconds")
    return [max(-LONGEST_SECONDS, min(seconds, LONGEST_SECONDS)) for seconds in given]
