"""RQ's serializers; the one for pickles reads only plain data and the job packages' own classes."""

from __future__ import annotations

import io
import json
import pickle
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD

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


class Refused(Exception):
    """This job must not or cannot run here: `code` is the dead letter's reason; the message explains what to do."""

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
        if belongs(module, self._packages):
            found = self._own_class(module, name)
            # A name like "jobs.products.os.system" reaches through the module: what it finds must belong there too.
            if belongs(getattr(found, "__module__", ""), self._packages):
                return found
        raise self._refused(f"{module}.{name}")

    def _own_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there: what it imports is not
        except AttributeError:
            pass
        raise Refused(
            "unknown_function",
            f"There is no {module}.{name} in this release, which the pickled payload names. Deploy the release that "
            f"has it and replay the job, or correct the name where it is enqueued.",
        ) from None

    def _attribute(self, owner: Any, name: str) -> Any:
        """Stand in for `getattr`, which pickles of time zones need for one name."""
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


def encode_result(serializer: Serializer, value: Any) -> bytes:
    """Serialize a return value as RQ's result stream holds it; b"" for None.

    A value that cannot be serialized is replaced by RQ's own placeholder.
    """
    if value is None:
        return b""
    try:
        data = serializer.dumps(value)
    except Exception:  # noqa: BLE001 — whatever a job returned may raise anything when serialized; RQ notes it the same way
        data = serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return b64encode(data)


def belongs(module: str, packages: frozenset[str]) -> bool:
    """Whether a dotted module name is one of `packages` or inside one."""
    while module:
        if module in packages:
            return True
        module = module.rpartition(".")[0]
    return False
