"""What a job looks like in Redis, and every check that keeps a bad one from getting there.

RQ's worker quits on some malformed hashes and its cleaning trips over them for a quarter of an hour, so nothing is sent
that was not checked: names, types, sizes and ranges. The fields are those that RQ 3.0 itself writes (rq/job.py,
`Job.to_dict`), in an order that both producers keep; the script adds status and dates. The payload is RQ's JSON
serializer's, uncompressed, which its worker reads as well.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from .checks import check_function, check_job_id, check_name, check_queue, check_text, is_whole, seconds
from .errors import InvalidJob
from .json_text import by_utf16, canonical_text, is_text, json_text
from .options import Call, Options, RateLimit, Retry

#: Of the payload, in bytes. Jobs travel through every worker's memory; put larger things elsewhere and pass a link.
MAX_PAYLOAD_BYTES: Final = 1_000_000
MAX_META_BYTES: Final = 100_000
#: A job that may run longer is a mistake (milliseconds?), and its worker could not be replaced for so long.
MAX_TIMEOUT: Final = 7 * 86400
MAX_TTL: Final = 10 * 366 * 86400
MAX_RETRIES: Final = 1000
MAX_DEPENDENCIES: Final = 100
#: What RQ's queue gives a job without a timeout of its own.
DEFAULT_TIMEOUT: Final = 180

_SHOWN: Final = 75
_SHOWN_IN_ALL: Final = 1000
_EMPTY: Final = (
    "success_callback_name",
    "failure_callback_name",
    "stopped_callback_name",
    "started_at",
    "ended_at",
    "last_heartbeat",
    "worker_name",
)
#: W3C Trace Context, version 00 or a later one.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}")


def job_fields(call: Call) -> dict[str, str]:
    """Return the job's hash, but for its status and dates; raises `InvalidJob`."""
    options = call.options
    check_function(call.function)
    queue = options.get("queue", "default")
    check_queue(queue)
    kwargs = _kwargs(call)
    data = json_text([call.function, None, list(call.args), kwargs], "the arguments", MAX_PAYLOAD_BYTES)
    fields = {
        "data": data,
        **dict.fromkeys(_EMPTY, ""),
        "group_id": _group(options),
        "origin": queue,
        "description": _description(call, kwargs),
        "timeout": str(seconds("timeout", options.get("timeout"), 1, MAX_TIMEOUT) or DEFAULT_TIMEOUT),
    }
    for name, value, least in (
        ("result_ttl", options.get("result_ttl"), -1),
        ("failure_ttl", options.get("failure_ttl"), -1),
        ("ttl", options.get("ttl"), 1),
    ):
        if (checked := seconds(name, value, least, MAX_TTL)) is not None:
            fields[name] = str(checked)
    if meta := _meta(options):
        fields["meta"] = json_text(meta, "meta", MAX_META_BYTES)
    return fields | _retry_fields(options.get("retry")) | _waiting_fields(options)


def callback_fields(url: object, parent: str, queue: str) -> dict[str, str]:
    """Return the hash of the job that tells `url` when the job `parent` has ended; RQ defers it until then."""
    if not isinstance(url, str) or not re.fullmatch(r"https?://[!-~]{1,2000}", url):
        raise InvalidJob(
            "callback_url must be an absolute http or https URL in ASCII, such as 'https://me.example/done'"
        )
    call = Call("jobs.delivery.deliver", url, parent, queue=queue, timeout=60, description=f"callback of {parent}")
    return {
        **job_fields(call),
        "status": "deferred",
        "dependency_id": parent,
        "dependency_ids": json_text([parent], "the parent", 1000),
        "allow_dependency_failures": "1",
        "enqueue_at_front": "0",
    }


def fingerprint(call: Call) -> str:
    """Return what is the same for calls with the same function and arguments, in both languages."""
    text = canonical_text([call.function, list(call.args), _kwargs(call)], "the arguments")
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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


def parents(options: Options) -> list[str]:
    """Return the ids of the jobs that one waits for; raises `InvalidJob`."""
    wanted = options.get("depends_on")
    if wanted is None:
        return []
    ids = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, Sequence) else [wanted]
    for job_id in ids:
        check_job_id(job_id)
    if not 1 <= len(ids) <= MAX_DEPENDENCIES or len(set(ids)) < len(ids):
        raise InvalidJob(f"a job depends on 1 to {MAX_DEPENDENCIES} jobs, each named once")
    return [str(job_id) for job_id in ids]


def moment() -> str:
    """Return now as RQ writes dates, to the millisecond."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "000Z"


def _kwargs(call: Call) -> dict[str, Any]:
    kwargs = call.options.get("kwargs")
    if not isinstance(kwargs, Mapping | None):
        raise InvalidJob("kwargs must be a dict")
    return dict(kwargs or {})


def _group(options: Options) -> str:
    group = options.get("group")
    return "" if group is None else check_name("group", group)


def _description(call: Call, kwargs: dict[str, Any]) -> str:
    description = call.options.get("description")
    if description is not None:
        if not isinstance(description, str) or not is_text(description):
            raise InvalidJob("description must be text")
        return description[:_SHOWN_IN_ALL]
    shown = [_cut(json_text(value, "the arguments", MAX_PAYLOAD_BYTES)) for value in call.args]
    names = sorted(kwargs, key=by_utf16)
    shown += [f"{name}={_cut(json_text(kwargs[name], 'the arguments', MAX_PAYLOAD_BYTES))}" for name in names]
    return f"{call.function}({', '.join(shown)})"[:_SHOWN_IN_ALL]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _meta(options: Options) -> dict[str, Any]:
    given = options.get("meta")
    if not isinstance(given, Mapping | None):
        raise InvalidJob("meta must be a dict")
    meta = dict(given or {})
    for name, pattern, example in (
        ("traceparent", _TRACEPARENT, "such as '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'"),
        ("tracestate", _TRACESTATE, "1 to 512 ASCII characters"),
    ):
        if (value := options.get(name)) is not None:
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise InvalidJob(f"{name} must be as W3C Trace Context writes it, {example}")
            meta[name] = value
    if "tracestate" in options and options["tracestate"] is not None and "traceparent" not in meta:
        raise InvalidJob("tracestate means nothing without traceparent")
    return meta


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
    return {"retries_left": str(wanted.max), "retry_intervals": json_text(intervals, "the intervals", 100_000)}


def _waiting_fields(options: Options) -> dict[str, str]:
    """What a job needs that does not go on its queue at once."""
    fields: dict[str, str] = {}
    ids = parents(options)
    if ids:
        fields["dependency_id"] = ids[0]
        fields["dependency_ids"] = json_text(ids, "the dependencies", 100_000)
        fields["allow_dependency_failures"] = str(int(flag("allow_failure", options.get("allow_failure", False))))
    limit = options.get("rate_limit")
    if limit is not None:
        if not isinstance(limit, RateLimit):
            raise InvalidJob("rate_limit must be a RateLimit")
        fields["rate_limit_key"] = check_name("the rate limit's key", limit.key)
        if not is_whole(limit.concurrency) or not 1 <= limit.concurrency <= 1_000_000:
            raise InvalidJob("the rate limit's concurrency must be a whole number from 1 to 1000000")
        fields["rate_limit_concurrency"] = str(limit.concurrency)
    front = flag("at_front", options.get("at_front", False))
    waits = bool(ids) or limit is not None or any(options.get(name) is not None for name in ("delay", "at", "debounce"))
    if ids or (waits and front):
        fields["enqueue_at_front"] = str(int(front))
    return fields


def flag(name: str, value: object) -> bool:
    """Return `value` if it is a boolean; raises `InvalidJob`."""
    if not isinstance(value, bool):
        raise InvalidJob(f"{name} must be true or false")
    return value


def mark_digest(kind: str, function: str, key: object) -> str:
    """Return the name under which the calls with this `key` of a `kind` know of each other; raises `InvalidJob`."""
    named = f"{kind}\n{function}\n{check_text(f'the key of {kind}', key, 1000)}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]
