"""What a job looks like in Redis, and every check that keeps a bad one from getting there.

RQ's worker quits on some malformed hashes and its cleaning trips over them for a quarter of an hour, so nothing is sent
that was not checked: names, types, sizes and ranges. The fields are those that RQ 3.0 itself writes (rq/job.py,
`Job.to_dict`); the payload is RQ's JSON serializer's, uncompressed, which its worker reads as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from .checks import check_function, check_job_id, check_queue, is_text, is_whole, json_text, seconds
from .errors import InvalidJob

#: Of the payload, in bytes. Jobs travel through every worker's memory; put larger things elsewhere and pass a link.
MAX_PAYLOAD_BYTES: Final = 1_000_000
MAX_META_BYTES: Final = 100_000
#: A job that may run longer is a mistake (milliseconds?), and its worker could not be replaced for so long.
MAX_TIMEOUT: Final = 7 * 86400
MAX_TTL: Final = 10 * 366 * 86400
MAX_RETRIES: Final = 1000
#: What RQ's queue gives a job without a timeout of its own.
DEFAULT_TIMEOUT: Final = 180

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
        data = json_text([self.function, None, list(self.args), kwargs], "the arguments", MAX_PAYLOAD_BYTES)
        now = moment()
        fields = {
            "created_at": now,
            "data": data,
            **dict.fromkeys(_EMPTY, ""),
            "origin": self.queue,
            "description": self._described(kwargs),
            "enqueued_at": now,
            "timeout": str(seconds("timeout", self.timeout, 1, MAX_TIMEOUT) or DEFAULT_TIMEOUT),
            "status": "queued",
        }
        for name, value, least in (
            ("result_ttl", self.result_ttl, -1),
            ("failure_ttl", self.failure_ttl, -1),
            ("ttl", self.ttl, 1),
        ):
            if (checked := seconds(name, value, least, MAX_TTL)) is not None:
                fields[name] = str(checked)
        if self.meta:
            fields["meta"] = json_text(dict(self.meta), "meta", MAX_META_BYTES)
        return fields | _retry_fields(self.retry)

    def _described(self, kwargs: dict[str, Any]) -> str:
        if self.description is not None:
            if not isinstance(self.description, str) or not is_text(self.description):
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


def unique_id(function: str, subject: str) -> str:
    """Return the id that all jobs of `function` about `subject` share."""
    if not isinstance(subject, str) or not subject or not is_text(subject):
        raise InvalidJob("unique must be a text that says what the job is about, such as a canonical URL")
    digest = hashlib.sha256(f"{function}\n{subject}".encode()).hexdigest()
    return f"{function.rpartition('.')[2][:60]}-{digest[:32]}"


def chosen_id(function: str, job_id: str | None, unique: str | None) -> str:
    """Return the id that a job gets: the one given, that of its subject, or a new one; raises `InvalidJob`."""
    check_function(function)
    if job_id is not None and unique is not None:
        raise InvalidJob("give job_id or unique, not both: unique makes the id")
    if unique is not None:
        return unique_id(function, unique)
    if job_id is None:
        return str(uuid.uuid4())
    check_job_id(job_id)
    return job_id


def moment() -> str:
    """Return now as RQ writes dates."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
    if not is_whole(wanted.max) or not 1 <= wanted.max <= MAX_RETRIES:
        raise InvalidJob(f"retry must be a whole number of further attempts from 1 to {MAX_RETRIES}")
    intervals = [wanted.interval] if is_whole(wanted.interval) else wanted.interval
    if not isinstance(intervals, Iterable) or isinstance(intervals, str | bytes):
        raise InvalidJob("a retry's interval must be whole seconds or a list of them")
    intervals = list(intervals)
    if not 1 <= len(intervals) <= MAX_RETRIES or not all(is_whole(i) and 0 <= i <= MAX_TTL for i in intervals):
        raise InvalidJob("a retry's interval must be whole seconds or a list of them, none below 0")
    return {"retries_left": str(wanted.max), "retry_intervals": json.dumps(intervals)}


def _cut(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
