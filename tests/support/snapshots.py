"""All of a database as (key, field) → value, with times relative to now and random ids masked, for comparing two."""

from __future__ import annotations

import base64
import binascii
import json
import pickle
import re
import zlib
from datetime import UTC, datetime
from typing import Any

import redis as redis_py

Snapshot = dict[tuple[str, str], Any]

#: Moments and times to live are rounded to it, so that the few milliseconds between two runs do not show. Tests use
#: multiples of it for their intervals.
STEP_SECONDS = 20
#: RQ's executions are named by a hex UUID, ours by `w` and 31 hex digits.
_EXECUTION = re.compile(r"\b(?:[0-9a-f]{32}|w[0-9a-f]{31})\b")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_UNIX = re.compile(r"\A1[6-9]\d{8}(?:\.\d+)?\Z")
_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line \d+, in (?P<where>.+)\n(?:    .*\n)*')


def take(redis: redis_py.Redis) -> Snapshot:
    """Read everything, in one transaction; `redis` must not decode."""
    names = sorted(key.decode() for key in redis.scan_iter())
    kinds = [redis.type(name).decode() for name in names]
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.time()
        for name, kind in zip(names, kinds, strict=True):
            pipeline.ttl(name)
            _READ[kind](pipeline, name)
        (seconds, micros), *replies = pipeline.execute()
    masking = _Masking(seconds + micros / 1e6)
    found: Snapshot = {}
    for name, kind, ttl, value in zip(names, kinds, replies[::2], replies[1::2], strict=True):
        key = masking.ids(name)
        found[key, "(ttl)"] = masking.span(ttl) if ttl >= 0 else "none"
        for field, content in _rows(kind, value):
            found[key, masking.ids(field)] = masking.value(field, content)
    return found


def differences(one: Snapshot, other: Snapshot) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Return what differs: (key, field) → the two values, "(missing)" where there is none."""
    pairs = {at: (one.get(at, "(missing)"), other.get(at, "(missing)")) for at in sorted({*one, *other})}
    return {at: pair for at, pair in pairs.items() if pair[0] != pair[1]}


_READ: dict[str, Any] = {
    "hash": lambda pipeline, key: pipeline.hgetall(key),
    "list": lambda pipeline, key: pipeline.lrange(key, 0, -1),
    "set": lambda pipeline, key: pipeline.smembers(key),
    "zset": lambda pipeline, key: pipeline.zrange(key, 0, -1, withscores=True),
    "stream": lambda pipeline, key: pipeline.xrange(key),
    "string": lambda pipeline, key: pipeline.get(key),
}


def _rows(kind: str, value: Any) -> list[tuple[str, Any]]:
    """Spread a value out: a list by position, a sorted set by member, a stream by entry and field."""
    if kind == "hash":
        meta = _load(value.pop(b"meta", b""))
        rows = [(field.decode(), content) for field, content in value.items()]
        return rows + [(f"meta.{name}", content) for name, content in meta.items()]
    if kind == "list":
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if kind == "set":
        return [(member.decode(), True) for member in value]
    if kind == "zset":
        return [(member.decode(), score) for member, score in value]
    if kind == "stream":
        return [
            (f"[{index}].{field.decode()}", content)
            for index, (_, entry) in enumerate(value)
            for field, content in entry.items()
        ]
    return [("", value)]


def _load(meta: bytes) -> dict[str, Any]:
    """Read a job's meta, pickled or JSON; what cannot be read is compared as it is."""
    try:
        loaded = pickle.loads(meta) if meta[:1] == b"\x80" else json.loads(meta or b"{}")
    except ValueError:
        return {"(unreadable)": meta}
    return loaded if isinstance(loaded, dict) else {"(no dict)": loaded}


class _Masking:
    def __init__(self, now: float) -> None:
        self._now = now

    def ids(self, text: str) -> str:
        return _EXECUTION.sub("<execution>", text)

    def span(self, seconds: float) -> str:
        return f"{round(seconds / STEP_SECONDS) * STEP_SECONDS} s"

    def moment(self, unix: float) -> str:
        return f"now{round((unix - self._now) / STEP_SECONDS) * STEP_SECONDS:+} s"

    def value(self, field: str, content: Any) -> Any:
        if isinstance(content, float):
            return self.moment(content) if 1.6e9 < content < float("inf") else content
        if not isinstance(content, bytes):
            return content
        name = field.rpartition(".")[2]
        if name == "total_working_time":
            return self.span(float(content))
        if name in ("exc_string", "return_value"):
            return self._unpack(content)
        if name == "data":
            return content
        if name == "ip_address":
            return content.rpartition(b":")[0]
        try:
            return self.text(content.decode())
        except UnicodeDecodeError:
            return content

    def text(self, text: str) -> str:
        if _UNIX.match(text):
            return self.moment(float(text))
        text = _DATE.sub(lambda match: f"<{self._date(match[0])}>", self.ids(text))
        return _FRAME.sub(_own_frames, text)

    def _date(self, text: str) -> str:
        # The exact form matters: RQ's other tools read it with strptime.
        form = re.sub(r"\d", "0", text)
        return f"{form} {self.moment(datetime.fromisoformat(text).astimezone(UTC).timestamp())}"

    def _unpack(self, content: bytes) -> Any:
        """What RQ stores as base64, of zlib for tracebacks."""
        try:
            packed = base64.b64decode(content, validate=True)
        except binascii.Error:
            return content
        try:
            return self.text(zlib.decompress(packed).decode())
        except zlib.error:
            return packed


def _own_frames(frame: re.Match[str]) -> str:
    """Keep a frame of job code, by file and function; RQ's and the worker's own frames are their affair."""
    return f"  {frame['where']}\n" if "/tests/support/tasks.py" in frame["file"] else ""


def body(text: bytes) -> Any:
    """The body of a webhook, its times masked to their form and its traceback to the job's own frames."""
    content = json.loads(text) if text else None
    if not isinstance(content, dict):
        return content
    masked = {key: _DATE.sub("<date>", value) if isinstance(value, str) else value for key, value in content.items()}
    if masked.get("exc_info"):
        masked["exc_info"] = _FRAME.sub(_own_frames, masked["exc_info"])
    return masked
