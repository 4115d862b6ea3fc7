"""What Redis knows about a job, read without unpickling anything."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

from .errors import JobFailed, NotFinished, Refused

#: Statuses that a job does not leave by itself.
ENDED: Final = frozenset({"finished", "failed", "stopped", "canceled"})
#: Fields of a job's hash, in the order in which they are asked for. All are text, unlike `data`.
FIELDS: Final = ("status", "origin", "enqueued_at", "started_at", "ended_at", "meta", "dead_letter")
#: Of a job's log: when, attempt, percent, text.
_LINE: Final = re.compile(r"([0-9.]+) ([0-9]+) (-|[0-9]+) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class JobState:
    """One job at one moment.

    `status` is RQ's: queued, started, finished, failed, deferred, scheduled, stopped, canceled, rate_limited,
    ready_to_enqueue. `percent` and `message` are what the job reported; dates are RQ's texts, "" while unset. `reason`
    is the worker's word for why a job failed for good ("permanent", "attempts_exhausted", …), `error` its sentence.
    """

    id: str
    status: str
    queue: str
    enqueued_at: str
    started_at: str
    ended_at: str
    percent: int
    message: str
    reason: str
    error: str
    _value: str | None

    @property
    def ended(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.status in ENDED

    def result(self) -> Any:
        """Return what the job returned; raises `NotFinished`, `JobFailed` and `Refused` (not JSON)."""
        if not self.ended:
            raise NotFinished(self.id, self.status)
        if self.status != "finished":
            raise JobFailed(self.id, self.status, self.reason, self.error or "no more is known")
        return None if self._value is None else _result(self.id, self._value)


def read(job_id: str, row: list[Any], results: list[Any]) -> JobState | None:
    """Build a state from the answers to HMGET of `FIELDS` and XREVRANGE of one result; None when there is no job."""
    status, origin, enqueued_at, started_at, ended_at, meta, letter = (value or "" for value in row)
    if not status and not origin:
        return None
    told = _object(_object(meta).get("progress"))
    dead = _object(letter)
    result = _fields(results[0][1]) if results else {}
    error = f"{dead.get('exception', '')}: {dead.get('message', '')}".strip(": ")
    percent = told.get("percent")
    return JobState(
        id=job_id,
        status=status or "queued",
        queue=origin,
        enqueued_at=enqueued_at,
        started_at=started_at,
        ended_at=ended_at,
        percent=percent if isinstance(percent, int) else 100 if status == "finished" else 0,
        message=str(told.get("message", "")),
        reason=str(dead.get("reason", "")) if status == "failed" else "",
        error=(error or _last_line(result.get("exc_string"))) if status == "failed" else "",
        _value=result.get("return_value") if result.get("type") == "1" else None,
    )


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a job has said, or its progress (which has a percent). `at` is Unix seconds, by Redis's clock."""

    at: float
    attempt: int
    percent: int | None
    text: str


def log_of(created_at: str, entries: list[str]) -> list[LogLine]:
    """Read a list that begins with the job's `created_at`; an earlier job of its id may have left another."""
    if not entries or not entries[0].startswith(f"{created_at} "):
        return []
    found = (_LINE.fullmatch(entry) for entry in entries[1:])
    return [
        LogLine(float(at), int(attempt), None if percent == "-" else int(percent), text)
        for at, attempt, percent, text in (match.groups() for match in found if match)
    ]


def _result(job_id: str, stored: str) -> Any:
    """Read a return value as RQ stores it; raises `Refused`, which says what it is instead of JSON."""
    try:
        data = base64.b64decode(stored, validate=True)
    except binascii.Error:
        raise Refused(f"The result of job {job_id} is damaged: it is not base64, as RQ writes it.") from None
    if data[:1] == b"\x80":
        raise Refused(
            f"The result of job {job_id} is not JSON: it was enqueued with RQ's pickle serializer, which a producer "
            f"does not read. Enqueue it with serializer='json', or with this package."
        )
    try:
        return load_json(data)
    except NotANumber as error:
        raise Refused(
            f"The result of job {job_id} holds {error}, which JSON does not have: a plain RQ worker wrote it. This "
            f"worker writes null in its place."
        ) from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"The result of job {job_id} is not JSON: {error}.") from None


class NotANumber(Exception):
    """A text that would be JSON holds NaN, Infinity or -Infinity, which the message names."""


def load_json(text: str | bytes) -> Any:
    """Read JSON; raises `NotANumber` and `ValueError`."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise NotANumber(name)


def _fields(entry: list[Any]) -> dict[str, str]:
    """Pair up a stream entry's flat list."""
    return dict(zip(entry[::2], entry[1::2], strict=True))


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object, parsed or as text; {} for anything else, a pickle among it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _last_line(text: str | None) -> str:
    """Return the last line of a traceback as RQ stores it: the exception."""
    try:
        lines = (
            zlib.decompress(base64.b64decode(text or "", validate=True)).decode(errors="replace").strip().splitlines()
        )
    except (binascii.Error, zlib.error):
        return ""
    return lines[-1] if lines else ""
