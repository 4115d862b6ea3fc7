"""RQ's serializers but that for pickles (``unpickling.py``), and what a payload raises that cannot run here."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, Final, Protocol, Self

from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD

from worker.engine.raised import FROM_OUTSIDE
from worker.text import bounded, json_text

#: Characters of a refusal.
SENTENCE_CHARACTERS: Final = 2_000


class Refused(Exception):
    """This job must not or cannot run here: `code` is the dead letter's reason; the message explains what to do.

    It quotes names and errors of the job, so it is cut. `subject` is the class that it is about: letters are grouped by
    it.
    """

    def __init__(self, code: str, sentence: str, subject: str = "") -> None:
        super().__init__(bounded(sentence, SENTENCE_CHARACTERS))
        self.code = code
        self.subject = subject


class Serializer(Protocol):
    """What RQ calls a serializer."""

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into bytes."""
        ...

    def loads(self, data: bytes, /) -> Any:
        """Turn bytes into a value."""
        ...


class Encoded:
    """A value that has been serialized; a serializer returns `data` for it as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def of_result(cls, stored: bytes) -> Self | None:
        """Return what stands for a return value, of what `encode_result` has made of it."""
        return cls(b64decode(stored)) if stored else None


class Json:
    """RQ's `json` serializer, but for numbers that JSON does not have: null is written for NaN and infinity.

    RQ writes ``NaN``, which no other language reads. Both are read.
    """

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into UTF-8 JSON."""
        if isinstance(value, Encoded):
            return value.data
        return json_text(value).encode()

    def loads(self, data: bytes, /) -> Any:
        """Turn JSON into a value."""
        return json.loads(data)


def encode_result(serializer: Serializer, value: Any) -> bytes:
    """Serialize a return value as RQ's result stream holds it; b"" for None.

    A value that cannot be serialized is replaced by RQ's own placeholder. Serializing a value is code of the job: it
    runs on the job's clock, and may end its process.
    """
    if value is None:
        return b""
    try:
        data = serializer.dumps(value)
    except FROM_OUTSIDE:
        raise
    except BaseException:  # noqa: BLE001 — it may raise anything, SystemExit too; RQ notes it the same way
        data = serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return b64encode(data)
