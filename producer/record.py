"""What the script `enqueue.lua` is told of a job: where it goes, when it may begin, what it waits for."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from .checks import check_span, is_whole
from .errors import InvalidJob
from .options import Call, Debounce, Options, Throttle
from .payload import MAX_TTL, callback_fields, chosen_id, fingerprint, flag, job_fields, mark_digest, parents

#: Of one request: Redis does nothing else while it enqueues them (docs/hybrid.md says for how long).
MAX_JOBS: Final = 1000
MAX_DEPENDENCIES: Final = 1000
#: Upstash takes requests of 10 MB.
MAX_REQUEST_BYTES: Final = 8_000_000
#: How long an idempotency key is remembered, in seconds: as Stripe does.
IDEMPOTENCY_TTL: Final = 86400
#: How long a debounced job may stand on its queue and still take the arguments of later calls.
_DEBOUNCED_FOR: Final = 7 * 86400
#: The last second of the year 9999.
_LAST_SECOND: Final = 253_402_300_799

_MARKED: Final = ("idempotency_key", "throttle", "debounce")
#: Which options cannot be had together, and why.
_EXCLUDED: Final = (
    (("delay", "at"), "they say two moments"),
    (("job_id", "unique"), "unique makes the id"),
    (("delay", "depends_on"), "RQ has no place for a job that waits for both"),
    (("at", "depends_on"), "RQ has no place for a job that waits for both"),
    (("debounce", "depends_on"), "RQ has no place for a job that waits for both"),
    (("debounce", "delay"), "debounce says when the job begins"),
    (("debounce", "at"), "debounce says when the job begins"),
    (("debounce", "callback_url"), "many calls would tell one end"),
    (("idempotency_key", "throttle"), "each says which calls make one job"),
    (("idempotency_key", "debounce"), "each says which calls make one job"),
    (("throttle", "debounce"), "each says which calls make one job"),
    *(((mark, "unique"), "each says which calls make one job") for mark in _MARKED),
    *(((mark, "rerun_after"), "each says which calls make one job") for mark in _MARKED),
    (("throttle", "job_id"), "a throttled job has an id of its own"),
    (("debounce", "job_id"), "a debounced job has an id of its own"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One job, checked: its id, the mark by which calls know of each other ("" = none), and its arguments."""

    id: str
    mark: str
    parents: Sequence[str]
    arguments: list[str]


def record(call: Call, token: str) -> Record:
    """Check a call and write it down; raises `InvalidJob`. `token` marks a run that may take an old one's place."""
    options = call.options
    _check_together(options)
    fields = job_fields(call)
    job_id = chosen_id(call.function, options.get("job_id"), options.get("unique"))
    kind, mark, lifetime, print_, longest = _mark(call)
    after = options.get("rerun_after")
    if after is not None:
        check_span("rerun_after", after)
        fields["call"] = token  # a repeated call knows its own run by it, even when that has ended meanwhile
    queue = fields["origin"]
    ids = parents(options)
    if job_id in ids:
        raise InvalidJob("a job cannot depend on itself")
    arguments = [
        job_id,
        queue,
        "L" if flag("at_front", options.get("at_front", False)) else "R",
        fields.get("ttl", ""),
        "" if after is None else _plain(after),
        _due(options),
        kind,
        mark,
        str(lifetime),
        print_,
        longest,
        fields["group_id"],
        fields.get("rate_limit_key", ""),
        fields.get("rate_limit_concurrency", ""),
        fields.get("allow_dependency_failures", "0"),
        *_list(ids),
        *_list([part for pair in fields.items() for part in pair]),
    ]
    url = options.get("callback_url")
    if url is None:
        arguments.append("")
    else:
        told = callback_fields(url, job_id, queue)
        arguments += [f"callback-{uuid.uuid4().hex}", *_list([part for pair in told.items() for part in pair])]
    return Record(job_id, mark, ids, arguments)


def check_batch(records: Sequence[Record]) -> None:
    """Raise `InvalidJob` unless one request can carry the jobs, each of them once, parents before children."""
    if not 1 <= len(records) <= MAX_JOBS:
        raise InvalidJob(f"one call enqueues 1 to {MAX_JOBS} jobs; these are {len(records)}")
    if sum(len(one.parents) for one in records) > MAX_DEPENDENCIES:
        raise InvalidJob(f"the jobs of one call have at most {MAX_DEPENDENCIES} dependencies together")
    places = {one.id: place for place, one in enumerate(records)}
    marks = [one.mark for one in records if one.mark]
    if len(places) < len(records) or len(set(marks)) < len(marks):
        raise InvalidJob("two jobs of one call have the same id or key; give each its own, or leave one of them out")
    for place, one in enumerate(records):
        if any(places.get(parent, -1) > place for parent in one.parents):
            raise InvalidJob("a job of this call depends on a later one; put that one before it")
    size = sum(len(text.encode()) for one in records for text in one.arguments)
    if size > MAX_REQUEST_BYTES:
        raise InvalidJob(
            f"the jobs of this call have {size:,} bytes, and a request takes at most {MAX_REQUEST_BYTES:,}; send fewer "
            f"at a time"
        )


def _check_together(options: Options) -> None:
    given = {name for name, value in options.items() if value is not None}
    for (one, other), why in _EXCLUDED:
        if one in given and other in given:
            raise InvalidJob(f"give {one} or {other}, not both: {why}")


def _mark(call: Call) -> tuple[str, str, int | str, str, str]:
    """Return (kind, digest, seconds to live, fingerprint, longest wait); all "" for a job that has no mark."""
    options = call.options
    key, throttle, debounce = options.get("idempotency_key"), options.get("throttle"), options.get("debounce")
    if key is not None:
        lifetime = _whole("idempotency_ttl", options.get("idempotency_ttl", IDEMPOTENCY_TTL))
        return "idempotency", mark_digest("idempotency", "", key), lifetime, fingerprint(call), ""
    if throttle is not None:
        if not isinstance(throttle, Throttle):
            raise InvalidJob("throttle must be a Throttle")
        lifetime = _whole("the seconds of throttle", throttle.seconds)
        return "throttle", mark_digest("throttle", call.function, throttle.key), lifetime, "", ""
    if debounce is not None:
        if not isinstance(debounce, Debounce):
            raise InvalidJob("debounce must be a Debounce")
        wait = _whole("the seconds of debounce", debounce.seconds)
        longest = "" if debounce.max_wait is None else str(_whole("the max_wait of debounce", debounce.max_wait))
        return "debounce", mark_digest("debounce", call.function, debounce.key), wait + _DEBOUNCED_FOR, "", longest
    return "", "", "", "", ""


def _due(options: Options) -> str:
    at, delay, debounce = options.get("at"), options.get("delay"), options.get("debounce")
    if debounce is not None:
        return f"+{debounce.seconds * 1000}"
    if delay is not None:
        if isinstance(delay, timedelta):
            delay = delay.total_seconds()
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= MAX_TTL:
            raise InvalidJob(f"delay must be seconds from 0 to {MAX_TTL:,}")
        return f"+{math.ceil(delay * 1000)}"
    if at is None:
        return ""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidJob("at must have a time zone, such as datetime.now(UTC)")
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= _LAST_SECOND:
        raise InvalidJob("at must be a moment from 1970 to 9999, in seconds if it is a number")
    return f"={math.ceil(at)}"


def _whole(name: str, value: object) -> int:
    if not is_whole(value) or not 1 <= value <= MAX_TTL:
        raise InvalidJob(f"{name} must be whole seconds from 1 to {MAX_TTL:,}")
    return value


def _plain(number: float) -> str:
    """Write a number of seconds as Lua and JavaScript read it."""
    return str(int(number)) if float(number).is_integer() else repr(number)


def _list(texts: Sequence[str]) -> list[str]:
    return [str(len(texts)), *texts]
