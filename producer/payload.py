"""What a job looks like in Redis, and every check that keeps a bad one from getting there.

RQ's worker quits on some malformed hashes and its cleaning trips over them for a quarter of an hour, so nothing is sent
that was not checked: names, types, sizes and ranges. The fields are those that RQ 3.0 itself writes (rq/job.py,
`Job.to_dict`); the payload is RQ's JSON serializer's, uncompressed, which its worker reads as well.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from .errors import InvalidJob

#: Of the payload, in bytes. Jobs travel through every worker's memory; put larger things elsewhere and pass a link.
MAX_PAYLOAD_BYTES: Final = 1_000_000
MAX_META_BYTES: Final = 100_000
MAX_DEPTH: Final = 50
#: JSON numbers beyond it change in other languages, and Python refuses to read very long ones.
MAX_INTEGER: Final = 2**63
#: A job that may run longer is a mistake (milliseconds?), and its worker could not be replaced for so long.
MAX_TIMEOUT: Final = 7 * 86400
MAX_TTL: Final = 10 * 366 * 86400
MAX_RETRIES: Final = 1000
#: What RQ's queue gives a job without a timeout of its own.
DEFAULT_TIMEOUT: Final = 180

_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_QUEUE: Final = re.compile(r"[^\s,\x00-\x1f\x7f]{1,100}")
_SHOWN: Final = 75


@dataclass(frozen=True, slots=True)
class Retry:
    """RQ's `Retry`: up to `max` further attempts, after `interval` seconds or, one after the other, those of a list."""

    max: int
    interval: int | Sequence[int] = 0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job as it was asked for, not checked yet. Times are seconds; None leaves the choice to the worker.

    `description` is what people see; by default the call with its arguments, as RQ shows it.
    """

    function: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    queue: str = "default"
    timeout: int | None = None
    result_ttl: int | None = None
    failure_ttl: int | None = None
    ttl: int | None = None
    retry: Retry | int | None = None
    meta: Mapping[str, Any] | None = None
    description: str | None = None

    def fields(self) -> dict[str, str]:
        """Return the job's hash; raises `InvalidJob`."""
        check_function(self.function)
        check_queue(self.queue)
        kwargs = dict(self.kwargs or {})
        data = _json([self.function, None, list(self.args), kwargs], "the arguments", MAX_PAYLOAD_BYTES)
        now = moment()
        fields = {
            "created_at": now,
            "data": data,
            **dict.fromkeys(_EMPTY, ""),
            "origin": self.queue,
            "description": self._described(kwargs),
            "enqueued_at": now,
            "timeout": str(_seconds("timeout", self.timeout, 1, MAX_TIMEOUT) or DEFAULT_TIMEOUT),
            "status": "queued",
        }
        for name, value, least in (
            ("result_ttl", self.result_ttl, -1),
            ("failure_ttl", self.failure_ttl, -1),
            ("ttl", self.ttl, 1),
        ):
            if (seconds := _seconds(name, value, least, MAX_TTL)) is not None:
                fields[name] = str(seconds)
        if self.meta:
            fields["meta"] = _json(dict(self.meta), "meta", MAX_META_BYTES)
        return fields | _retry_fields(self.retry)

    def _described(self, kwargs: dict[str, Any]) -> str:
        if self.description is not None:
            if not isinstance(self.description, str) or not _is_text(self.description):
                raise InvalidJob("description must be text")
            return self.description[:1000]
        shown = [_cut(repr(value)) for value in self.args]
        shown += sorted(f"{name}={_cut(repr(value))}" for name, value in kwargs.items())
        return f"{self.function}({', '.join(shown)})"


_EMPTY: Final = (
    "success_callback_name",
    "failure_callback_name",
    "stopped_callback_name",
    "started_at",
    "ended_at",
    "last_heartbeat",
    "worker_name",
    "group_id",
)


def check_function(name: object) -> None:
    """Raise `InvalidJob` unless `name` is dotted, like ``jobs.products.analyze_product``."""
    if not isinstance(name, str) or not _FUNCTION.fullmatch(name) or len(name) > 255:
        raise InvalidJob(
            "the function must be named with its module, in ASCII, such as 'jobs.products.analyze_product'; the "
            "producer does not need to have it"
        )


def check_queue(name: object) -> None:
    """Raise `InvalidJob` unless `name` can be a queue."""
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise InvalidJob("the queue must be a name of 1 to 100 characters without spaces and commas, such as 'default'")
    if not _is_text(name):
        raise InvalidJob("the queue's name holds characters that UTF-8 cannot carry")
    if name == "dead-letter":
        raise InvalidJob("'dead-letter' holds dead letters, and no consumer reads it; name another queue")


def check_job_id(job_id: object) -> None:
    """Raise `InvalidJob` unless RQ takes `job_id`."""
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise InvalidJob("a job id must have 1 to 200 letters, digits, '-' and '_', and nothing else")


def unique_id(function: str, subject: str) -> str:
    """Return the id that all jobs of `function` about `subject` share."""
    if not isinstance(subject, str) or not subject or not _is_text(subject):
        raise InvalidJob("unique must be a text that says what the job is about, such as a canonical URL")
    digest = hashlib.sha256(f"{function}\n{subject}".encode()).hexdigest()
    return f"{function.rpartition('.')[2][:60]}-{digest[:32]}"


def moment(seconds_ago: float = 0) -> str:
    """Return now, or so many seconds ago, as RQ writes dates."""
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def callback_fields(url: str, parent: str, queue: str) -> dict[str, str]:
    """Return the hash of the job that tells `url` when the job `parent` has ended; RQ defers it until then."""
    if not isinstance(url, str) or not re.fullmatch(r"https?://[!-~]{1,2000}", url):
        raise InvalidJob(
            "callback_url must be an absolute http or https URL in ASCII, such as 'https://me.example/done'"
        )
    spec = JobSpec("jobs.delivery.deliver", (url, parent), queue=queue, timeout=60, description=f"callback of {parent}")
    return spec.fields() | {
        "status": "deferred",
        "dependency_id": parent,
        "dependency_ids": json.dumps([parent]),
        "allow_dependency_failures": "1",
        "enqueue_at_front": "0",
    }


def _retry_fields(retry: Retry | int | None) -> dict[str, str]:
    if retry is None:
        return {}
    wanted = retry if isinstance(retry, Retry) else Retry(retry)
    if not _is_whole(wanted.max) or not 1 <= wanted.max <= MAX_RETRIES:
        raise InvalidJob(f"retry must be a whole number of further attempts from 1 to {MAX_RETRIES}")
    intervals = [wanted.interval] if _is_whole(wanted.interval) else wanted.interval
    if not isinstance(intervals, Iterable) or isinstance(intervals, str | bytes):
        raise InvalidJob("a retry's interval must be whole seconds or a list of them")
    intervals = list(intervals)
    if not 1 <= len(intervals) <= MAX_RETRIES or not all(_is_whole(i) and 0 <= i <= MAX_TTL for i in intervals):
        raise InvalidJob("a retry's interval must be whole seconds or a list of them, none below 0")
    return {"retries_left": str(wanted.max), "retry_intervals": json.dumps(intervals)}


def _seconds(name: str, value: object, least: int, most: int) -> int | None:
    if value is None:
        return None
    if not _is_whole(value) or not least <= value <= most:
        ever = ", or -1 for ever" if least < 0 else ""
        raise InvalidJob(f"{name} must be whole seconds from {max(least, 0)} to {most:,}{ever}")
    return value


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _json(value: Any, what: str, most: int) -> str:
    _check_plain(value, what, 0)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    size = len(text.encode())
    if size > most:
        raise InvalidJob(
            f"{what} have {size:,} bytes as JSON, and at most {most:,} are taken; store them elsewhere and pass a link"
        )
    return text


def _check_plain(value: Any, what: str, depth: int) -> None:
    """Raise `InvalidJob` unless JSON carries `value` unchanged (tuples arrive as lists)."""
    if depth > MAX_DEPTH:
        raise InvalidJob(f"{what} are nested more than {MAX_DEPTH} levels deep, or contain themselves")
    if isinstance(value, str):
        if not _is_text(value):
            raise InvalidJob(f"{what} hold a text with half a character (a lone surrogate) in it")
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidJob(f"{what} hold a whole number beyond 2^63; pass it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJob(f"{what} hold {value}, which JSON cannot carry")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, what, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidJob(f"{what} hold an object with a key of type {type(key).__name__}; JSON has only texts")
            _check_plain(key, what, depth + 1)
            _check_plain(item, what, depth + 1)
    else:
        raise InvalidJob(
            f"{what} hold a value of type {type(value).__name__}, which JSON cannot carry; pass texts, numbers, "
            f"booleans, None, lists and dicts"
        )
