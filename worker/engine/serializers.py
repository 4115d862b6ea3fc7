"""RQ's serializers but that for pickles (``unpickling.py``), and what a payload raises that cannot run here."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final, Protocol

from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD

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


class Encoded:
    """A value that another process has serialized; a serializer returns `data` for it as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data


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

    A value that cannot be serialized is replaced by RQ's own placeholder.
    """
    if value is None:
        return b""
    try:
        data = serializer.dumps(value)
    except Exception:  # noqa: BLE001 — whatever a job returned may raise anything when serialized; RQ notes it the same way
        data = serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return b64encode(data)
