"""RQ's serializers; the one for pickles reads only plain data and the job packages' own classes."""

from __future__ import annotations

import io
import json
import pickle
from base64 import b64encode
from collections.abc import Iterable
from enum import EnumType, Flag
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD

from worker.engine import pickle_names
from worker.text import bounded, json_text

#: Characters of a refusal.
SENTENCE_CHARACTERS: Final = 2_000


class Refused(Exception):
    """This job must not or cannot run here: `code` is the dead letter's reason; the message explains what to do.

    It quotes names and errors of the job, so it is cut.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(bounded(sentence, SENTENCE_CHARACTERS))
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
    """RQ's `json` serializer, but for numbers that JSON does not have: null is written for NaN and infinity.

    RQ writes ``NaN``, which no other language reads. Both are read.
    """

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into UTF-8 JSON."""
        return json_text(value).encode()

    def loads(self, data: bytes, /) -> Any:
        """Turn JSON into a value."""
        return json.loads(data)


class AllowListedPickle:
    """RQ's `pickle` serializer, reading only what the allow-list names.

    `packages` are the job packages, whose own classes may be loaded; `classes` are dotted names of others' classes that
    may, those of WORKER_PICKLE_CLASSES.
    """

    def __init__(self, packages: Iterable[str], classes: Iterable[str] = ()) -> None:
        self._packages = frozenset(packages)
        self._classes = _Classes(classes)

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into a pickle."""
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def loads(self, data: bytes, /) -> Any:
        """Turn a pickle into a value; raises `Refused` when it names something that is not allowed."""
        return _Unpickler(data, self._packages, self._classes).load()


class _Classes:
    """The classes of WORKER_PICKLE_CLASSES, by the names that an operator or a pickle may use for them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._homes: frozenset[str] | None = None

    def __contains__(self, name: str) -> bool:
        if name in self._names or not self._names:
            return name in self._names
        if self._homes is None:  # a pickle names a class by where it is defined, people by where they import it from
            self._homes = frozenset(filter(None, map(pickle_names.home_of, self._names)))
        return name in self._homes


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, packages: frozenset[str], classes: _Classes) -> None:
        super().__init__(io.BytesIO(data), fix_imports=False)  # done here, before the name is judged
        self._old_names = data[1:2] < b"\x03"
        self._packages = packages
        self._classes = classes

    def find_class(self, module: str, name: str, /) -> Any:
        if self._old_names:
            module, name = pickle_names.today(module, name)
        module, name = pickle_names.at_home(module, name)
        if (module, name) in pickle_names.SAFE_GLOBALS:
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):
            return self._attribute
        if (module, name) == ("_operator", "or_"):
            return self._union
        if (module, name) == ("_codecs", "encode"):
            return self._bytes
        if module in pickle_names.DATA_MODULES:
            found = self._known(module, name)
            if pickle_names.is_data(found, module):
                return found
        if f"{module}.{name}" in self._classes:
            found = self._own_class(module, name)
            if isinstance(found, type):
                return found
        if belongs(module, self._packages):
            found = self._own_class(module, name)
            # A name like "jobs.products.os.system" reaches through the module: what it finds must belong there too.
            if belongs(getattr(found, "__module__", ""), self._packages):
                return found
        raise self._refused(module, name)

    def _known(self, module: str, name: str) -> Any:
        """Return what one of Python's own modules calls so, None if this release of Python has none."""
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return None

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
            f"There is no {module}.{name} in this release, which the pickle names. Deploy the release that has it and "
            f"replay the job, or correct the name where it is enqueued.",
        ) from None

    def _attribute(self, owner: Any, name: str) -> Any:
        """Stand in for `getattr`, by which pickles name members of enumerations, and how a time zone is restored."""
        if owner is ZoneInfo and name == "_unpickle":
            return getattr(owner, name)
        if isinstance(owner, EnumType) and name in owner.__members__:
            return owner.__members__[name]
        raise self._refused("builtins", "getattr")

    def _union(self, left: Any, right: Any) -> Any:
        """Stand in for `operator.or_`, by which Python 3.11.0 to 3.11.3 pickle flags."""
        if isinstance(left, Flag) and isinstance(right, type(left)):
            return left | right
        raise self._refused("_operator", "or_")

    def _bytes(self, text: Any, encoding: Any) -> bytes:
        """Stand in for `codecs.encode`, by which protocol 2 carries bytes."""
        if isinstance(text, str) and encoding == "latin1":
            return text.encode("latin1")
        raise self._refused("_codecs", "encode")

    def _refused(self, module: str, name: str) -> Refused:
        return Refused(
            "refused_class",
            f"The pickle names {module}.{name}, which is neither plain data nor part of the packages in "
            f"WORKER_JOB_MODULES ({', '.join(sorted(self._packages))}). {pickle_names.advice(module, name)}",
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
