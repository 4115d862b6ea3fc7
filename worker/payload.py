"""From a job's hash to a call that may be made, and from what it returned to bytes.

Three gates stand between a payload and the interpreter. The serializer must be one that `WORKER_SERIALIZERS` accepts.
A pickle passes only an unpickler that finds plain data types and the job packages' own classes. The function must be
defined in a package of `WORKER_JOB_MODULES`; nothing outside them is ever imported because a payload names it.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from redis import Redis
from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.utils import utcparse

from worker.exchange import Claim

#: What a pickle may name besides the job packages: types that hold data and run nothing when they are built.
SAFE_GLOBALS: Final = frozenset(
    {
        *(("builtins", name) for name in ("bytearray", "complex", "frozenset", "range", "set", "slice")),
        *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
        *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
        ("zoneinfo", "ZoneInfo"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("ipaddress", "IPv4Address"),
        ("ipaddress", "IPv6Address"),
        ("pathlib", "PurePosixPath"),
        ("uuid", "UUID"),
        ("uuid", "SafeUUID"),
        # RQ's own values that a payload or a result may carry.
        ("rq.job", "Retry"),
        ("rq.repeat", "Repeat"),
    }
)


#: Fields of a job's hash that hold dates; RQ parses each with strptime, which costs more than the rest of a job.
_DATES: Final = (b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat")


class Refused(Exception):
    """This job must not or cannot run here: `code` is the dead letter's reason, the message says why and what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Serializer(Protocol):
    """What RQ calls a serializer."""

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into bytes."""
        ...

    def loads(self, data: bytes, /) -> Any:
        """Turn bytes into a value."""
        ...


class Json:
    """RQ's `json` serializer."""

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into UTF-8 JSON."""
        return json.dumps(value).encode()

    def loads(self, data: bytes, /) -> Any:
        """Turn JSON into a value."""
        return json.loads(data)


class AllowListedPickle:
    """RQ's `pickle` serializer, reading only what the allow-list names.

    `packages` are the job packages, whose own classes may be loaded.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = frozenset(packages)

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into a pickle."""
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def loads(self, data: bytes, /) -> Any:
        """Turn a pickle into a value; raises `Refused` when it names something that is not allowed."""
        return _Unpickler(data, self._packages).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, packages: frozenset[str]) -> None:
        super().__init__(io.BytesIO(data))
        self._packages = packages

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) in SAFE_GLOBALS:
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):
            return self._attribute
        if _belongs(module, self._packages):
            found = super().find_class(module, name)
            # A name like "jobs.products.os.system" reaches through the module: what it ends at must live there too.
            if _belongs(getattr(found, "__module__", ""), self._packages):
                return found
        raise self._refused(f"{module}.{name}")

    def _attribute(self, owner: Any, name: str) -> Any:
        """Stand in for `getattr`, through which pickle finds the one thing that time zones need."""
        if owner is ZoneInfo and name == "_unpickle":
            return getattr(owner, name)
        raise self._refused("builtins.getattr")

    def _refused(self, name: str) -> Refused:
        return Refused(
            "refused_class",
            f"The pickled payload names {name}, which is neither plain data nor part of the packages in "
            f"WORKER_JOB_MODULES ({', '.join(sorted(self._packages))}). Send plain values (or use RQ's json "
            f"serializer), or add its package to WORKER_JOB_MODULES if you trust it.",
        )


class Payloads:
    """Restores jobs and resolves their functions.

    `packages` are dotted names of packages whose functions may run; `serializers` are among "json" and "pickle".
    """

    def __init__(self, packages: Iterable[str], serializers: Iterable[str]) -> None:
        self.packages = tuple(packages)
        self._package_set = frozenset(self.packages)
        known: dict[str, Serializer] = {"json": Json(), "pickle": AllowListedPickle(self.packages)}
        self._serializers = {name: known[name] for name in serializers}
        self._functions: dict[str, Callable[..., Any]] = {}

    def restore(self, claim: Claim, connection: Redis) -> Job:
        """Build RQ's `Job` from a claim; raises `Refused` when the hash or the payload cannot be read."""
        fields = dict(claim.fields)
        data = fields.get(b"data")
        if not data:
            raise Refused(
                "unreadable_hash",
                f"The hash of job {claim.job_id} has no `data` field: whoever enqueued it did not write RQ's format.",
            )
        with contextlib.suppress(zlib.error):  # RQ reads uncompressed payloads too: REST producers write plain JSON
            fields[b"data"] = data = zlib.decompress(data)
        job = Job(claim.job_id, connection=connection)
        job.serializer = self._serializer(data)
        dates = [(name, fields.pop(name)) for name in _DATES if fields.get(name)]
        try:
            job.restore(fields)
            for name, text in dates:
                setattr(job, name.decode(), read_date(text))
        except Exception as error:
            raise Refused(
                "unreadable_hash",
                f"The hash of job {claim.job_id} cannot be read ({type(error).__name__}: {error}). RQ's own worker "
                f"would quit on it. Dates must look like 2026-11-25T04:37:30.000000Z, timeouts, TTLs and counters must "
                f"be whole numbers, and the status must be one of RQ's.",
            ) from error
        job.origin = job.origin or claim.origin
        try:
            job._deserialize_data()
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

    def function(self, job: Job) -> Callable[..., Any]:
        """Return what `job` calls; raises `Refused` for anything outside the job packages, its callbacks included."""
        if job._success_callback_name or job._failure_callback_name or job._stopped_callback_name:
            self._resolve_callbacks(job)
        name = job._func_name
        instance = job._instance
        if not isinstance(name, str):
            raise Refused("unreadable_payload", "The payload's function name is not a text.")
        if instance is not None:
            return self._method(instance, name)
        return self._named(name)

    def _resolve_callbacks(self, job: Job) -> None:
        """Put the callbacks where RQ keeps those that it has imported; it would import whatever the hash names."""
        job._success_callback = job._failure_callback = job._stopped_callback = None
        if job._success_callback_name:
            job._success_callback = self._named(job._success_callback_name)
        if job._failure_callback_name:
            job._failure_callback = self._named(job._failure_callback_name)
        if job._stopped_callback_name:
            job._stopped_callback = self._named(job._stopped_callback_name)

    def _named(self, name: str) -> Callable[..., Any]:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._import(name)
        return function

    def _serializer(self, data: bytes) -> Serializer:
        """Tell by the first byte: a pickle of protocol 2 or newer begins with 0x80, JSON as RQ writes it with '['."""
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
        if name.startswith("_") or not _belongs(owner.__module__, self._package_set):
            raise self._refuse(f"{owner.__module__}.{owner.__qualname__}.{name}")
        method: Any = getattr(instance, name, None)
        if not callable(method):
            raise Refused("unknown_function", f"{owner.__module__}.{owner.__qualname__} has no method {name}.")
        return method  # type: ignore[no-any-return]

    def _import(self, name: str) -> Callable[..., Any]:
        if not _belongs(name.rpartition(".")[0], self._package_set):
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
        if not callable(found) or not _belongs(getattr(found, "__module__", "") or "", self._package_set):
            raise self._refuse(name)
        return found  # type: ignore[no-any-return]

    def _refuse(self, name: str) -> Refused:
        return Refused(
            "refused_function",
            f"The job asks for {name}, which is not defined in a package of WORKER_JOB_MODULES "
            f"({', '.join(self.packages)}). Move the function there or add its package to the variable.",
        )


def encode_result(serializer: Serializer, value: Any) -> bytes:
    """Serialize a return value as RQ's result stream holds it; b"" for None.

    A value that cannot be serialized becomes RQ's own note of that.
    """
    if value is None:
        return b""
    try:
        data = serializer.dumps(value)
    except Exception:  # noqa: BLE001 — whatever a job returned may raise anything when serialized; RQ notes it the same way
        data = serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return b64encode(data)


def read_date(text: bytes) -> datetime:
    """Read a date of RQ's; ten times faster than RQ does for the form that it writes itself. Raises ValueError."""
    if len(text) == 27 and text.endswith(b"Z"):  # 2026-11-25T04:37:30.000000Z
        return datetime.fromisoformat(text.decode())
    return utcparse(text.decode())  # type: ignore[no-any-return]


def _belongs(module: str, packages: frozenset[str]) -> bool:
    """Whether a dotted module name is one of `packages` or inside one."""
    while module:
        if module in packages:
            return True
        module = module.rpartition(".")[0]
    return False
