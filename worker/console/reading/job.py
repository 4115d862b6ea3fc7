"""One job's whole story. Changes nothing, unpickles nothing; arguments and result are read only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from worker import job_log, journal
from worker.console.reading import jobs
from worker.console.reading.jobs import JobRow
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.rq_failures import traceback_of
from worker.engine import described
from worker.engine.dead_letter import REASONS
from worker.engine.described import Undescribed
from worker.engine.records import pairs
from worker.engine.serializers import Refused
from worker.engine.unread import PlainData
from worker.job_log import JobLog
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.client import Client
from worker.text import count_of, counted, duration, json_text, moment_of, name_of, text_of

#: Characters of a text that are kept.
MOST_TEXT: Final = 20_000
#: RQ's kinds of results.
_OUTCOMES: Final = {b"1": "finished", b"2": "failed", b"3": "stopped", b"4": "retried", b"5": "retries used up"}
#: What may be done to a job, by its status.
_CAN: Final = {
    "queued": ("cancel",),
    "scheduled": ("run_again", "cancel"),
    "deferred": ("cancel",),
    "rate_limited": ("cancel",),
    "started": ("stop",),
    "failed": ("run_again",),
    "finished": ("run_again",),
    "stopped": ("run_again",),
    "canceled": ("run_again",),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that has ended. `seconds` is how long it took, None where nobody wrote it down."""

    at: float | None
    ended_at: float | None
    seconds: float | None
    worker: str
    outcome: str
    error: str  #: the last line of the traceback
    traceback: str


@dataclass(frozen=True, slots=True)
class Relative:
    """A job that this one waits for, or that waits for it; the status is "" when it is gone."""

    job_id: str
    status: str
    function: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the job has kept; it was done at `at`."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a cursor of the job stands, as JSON."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class JobStory:
    """A job. Moments are Unix seconds, durations seconds. Texts are as strangers wrote them, cut to `MOST_TEXT`.

    `place` is a sentence; `meta` is JSON, or a sentence in parentheses where it is not shown. `attempts` come newest
    first; `made` counts the failed ones of the present run. `size` is the payload's, in bytes. `more_…` count what is
    not listed.
    """

    job_id: str
    function: str
    description: str
    status: str
    queue: str
    place: str
    created_at: float | None
    enqueued_at: float | None
    started_at: float | None
    ended_at: float | None
    timeout: str
    lives: float | None
    result_ttl: str
    failure_ttl: str
    worker: str
    release: str
    size: int
    attempts: tuple[Attempt, ...]
    made: int
    handbacks: int
    crashes: int
    retries_left: str
    next_attempt_in: float | None
    last_error: str
    parents: tuple[Relative, ...]
    more_parents: int
    dependents: tuple[Relative, ...]
    more_dependents: int
    meta: str
    progress: float | None
    progress_text: str
    steps: tuple[Step, ...]
    cursors: tuple[Cursor, ...]
    stands: str
    log: JobLog
    dead_letter: dict[str, Any]
    callbacks: tuple[tuple[str, str], ...]
    webhooks: bool
    can: frozenset[str]


def story(redis: Redis, keys: Keys, job_id: str) -> JobStory | None:
    """Read all that is known of a job; None when there is no such job. Raises `RedisTrouble`."""
    client = Client.over(redis)
    args: list[Any] = [keys.prefix, "", job_id.encode(errors="surrogateescape"), MOST_TEXT]
    reply: Any = client.register_script(scripts.STORY.text)(args=args)
    if not reply:
        return None
    left, flat, results, children, dependents, waits, parents, length, place, due, _claims, kept, _count, lines = reply
    fields = {flat[at]: flat[at + 2] for at in range(0, len(flat), 3)}
    sizes = {flat[at]: int(flat[at + 1]) for at in range(0, len(flat), 3)}
    (row,) = jobs.rows_of(client, keys, [job_id]) or (None,)
    status = _text(fields, b"status")
    due_in = float(due) if due else None
    percent, said = _progress(meta := _meta(fields.get(b"meta", b""), sizes.get(b"meta", 0)))
    entries = journal.entries(pairs(kept)) if journal.standing_of(fields) else []
    letter = DeadLetter(job_id, written=fields.get(b"dead_letter"))
    worker = _text(fields, b"worker_name")
    can = set(_CAN.get(status, ()))
    if status == "failed" and fields.get(b"dead_letter"):
        can |= {"replay", "edit", "discard"}
    return JobStory(
        job_id=job_id,
        function=row.function if row is not None else "",
        description=_text(fields, b"description"),
        status=status,
        queue=_text(fields, b"origin"),
        place=_place(status, _text(fields, b"origin"), place, length, due_in, worker),
        created_at=moment_of(_text(fields, b"created_at")),
        enqueued_at=moment_of(_text(fields, b"enqueued_at")),
        started_at=moment_of(_text(fields, b"started_at")),
        ended_at=moment_of(_text(fields, b"ended_at")),
        timeout=_text(fields, b"timeout"),
        lives=left / 1000 if left >= 0 else None,
        result_ttl=_text(fields, b"result_ttl"),
        failure_ttl=_text(fields, b"failure_ttl"),
        worker=worker,
        release=_release(client, keys, worker, letter),
        size=sizes.get(b"data", 0),
        attempts=tuple(map(_attempt, results)),
        made=count_of(fields.get(b"attempts")),
        handbacks=count_of(fields.get(b"handbacks")),
        crashes=count_of(fields.get(b"crashes")),
        retries_left=_text(fields, b"retries_left"),
        next_attempt_in=due_in,
        last_error=_text(fields, b"last_error"),
        parents=_relatives(client, keys, parents),
        more_parents=max(0, waits - len(parents)),
        dependents=_relatives(client, keys, dependents),
        more_dependents=max(0, children - len(dependents)),
        meta=meta if isinstance(meta, str) else json_text(meta, indent=2, default=str)[:MOST_TEXT] if meta else "",
        progress=percent,
        progress_text=said,
        steps=tuple(Step(entry.name, entry.at) for entry in entries if entry.kind == journal.STEP),
        cursors=tuple(Cursor(entry.name, entry.text[:MOST_TEXT]) for entry in entries if entry.kind == journal.CURSOR),
        stands=journal.described(journal.standing_of(fields)),
        log=job_log.parsed(lines, fields.get(b"created_at", b"")),
        dead_letter={"meaning": REASONS.get(letter.reason, ""), **letter.record} if letter.record else {},
        callbacks=tuple(
            (name, called)
            for name in ("success", "failure", "stopped")
            if (called := _text(fields, f"{name}_callback_name".encode()))
        ),
        webhooks=any(name.startswith(b"webhook") for name in fields),
        can=frozenset(can),
    )


def arguments(redis: Redis, keys: Keys, job_id: str) -> str:
    """Return a job's call as its payload spells it: ``jobs.mail.send('a@b.c')``.

    It may hold private data: show it when somebody asks. Raises `Undescribed` with a sentence, and `RedisTrouble`.
    """
    return described.call_of(_field(redis, keys, job_id, "data"))


def result(redis: Redis, keys: Keys, job_id: str) -> str:
    """Return what a job returned last, described; it may hold private data.

    Raises `Undescribed` with a sentence, and `RedisTrouble`.
    """
    client = Client.over(redis)
    entries: Any = client.xrevrange(keys.results(job_id).encode(errors="surrogateescape"), count=1)
    if not entries or entries[0][1].get(b"type") != b"1":
        raise Undescribed("It has no result: it has not finished, or its result was not to be kept, or has expired.")
    value = entries[0][1].get(b"return_value")
    return described.value_of(value) if value else "None"


def _field(redis: Redis, keys: Keys, job_id: str, name: str) -> bytes:
    client = Client.over(redis)
    key = keys.job(job_id).encode(errors="surrogateescape")
    size: Any = client.execute_command("HSTRLEN", key, name)
    if size > described.MOST_BYTES:
        raise Undescribed(f"It has {size:,} bytes, and more than {described.MOST_BYTES:,} are not shown.")
    value: Any = client.hget(key, name)
    if not value:
        raise Undescribed("There is none: the job is gone, or was written without.")
    return bytes(value)


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    return text_of(fields.get(name, b""))[:MOST_TEXT]


def _place(status: str, queue: str, place: int, length: int, due_in: float | None, worker: str) -> str:
    """Say in a sentence where the job is."""
    if status == "queued":
        if place >= 0:
            return f"Number {place + 1:,} of {length:,} on the queue {queue!r}."
        return f"Among {counted(length, 'job')} on the queue {queue!r}, not near its head." if length else "Set aside."
    if status == "started":
        return f"Runs on {worker or 'an unknown worker'}."
    if status == "scheduled" and due_in is not None:
        return f"Goes to the queue {queue!r} in {duration(due_in)}." if due_in > 0 else "Is due now."
    return {
        "deferred": "Waits for the jobs that it depends on.",
        "rate_limited": "Waits for a place under its rate limit.",
        "failed": "Has failed.",
        "finished": "Has finished.",
        "stopped": "Was stopped by order.",
        "canceled": "Was canceled.",
    }.get(status, f"Its status is {status or 'unknown'}.")


def _meta(stored: bytes, size: int) -> Any:
    """Return the meta, or a sentence in parentheses."""
    if not size:
        return {}
    if size > len(stored):
        return f"(It has {size:,} bytes, which are not shown.)"
    try:
        return PlainData(pickled=stored[:1] == b"\x80").loads(stored)
    except Refused as refused:
        return f"({refused})"
    except (ValueError, RecursionError):
        return "(It is neither JSON nor a pickle of plain data.)"


def _progress(meta: Any) -> tuple[float | None, str]:
    """Return the percentage and the message that a job has shown (`context.current().progress`)."""
    shown = meta.get("progress") if isinstance(meta, dict) else None
    if not isinstance(shown, dict):
        return None, ""
    percent = shown.get("percent")
    if not isinstance(percent, int | float) or isinstance(percent, bool) or not 0 <= percent <= 100:
        percent = None
    return None if percent is None else float(percent), str(shown.get("message") or "")[:MOST_TEXT]


def _release(redis: Redis, keys: Keys, worker: str, letter: DeadLetter) -> str:
    if letter.record:
        return str(letter.record.get("release", ""))[:100]
    if not worker:
        return ""
    with redis.pipeline(transaction=False) as pipe:
        pipe.hget(keys.worker(worker), "release")
        (found,) = pipe.execute(raise_on_error=False)
    return text_of(found)[:100] if isinstance(found, bytes) else ""


def _attempt(row: list[Any]) -> Attempt:
    result_id, *flat = row
    values = pairs(flat)
    began, ended = (moment_of(_stamp(values.get(name))) for name in (b"execution_started_at", b"execution_ended_at"))
    trace = traceback_of(values.get(b"exc_string"))[-MOST_TEXT:]
    return Attempt(
        began if began is not None else count_of(result_id.partition(b"-")[0]) / 1000 or None,
        ended,
        ended - began if began is not None and ended is not None else None,
        text_of(values.get(b"worker_name")),
        _OUTCOMES.get(values.get(b"type", b""), "ended"),
        next((line for line in reversed(trace.splitlines()) if line.strip()), "")[:500],
        trace,
    )


def _stamp(value: bytes | None) -> str:
    """Return a date of RQ's results: ISO, or Unix seconds, which become one."""
    text: str = text_of(value)
    try:
        return datetime.fromtimestamp(float(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return text


def _relatives(redis: Redis, keys: Keys, members: list[bytes]) -> tuple[Relative, ...]:
    ids = sorted(name_of(member) for member in members)
    rows: dict[str, JobRow] = {row.job_id: row for row in jobs.rows_of(redis, keys, ids)}
    return tuple(
        Relative(job_id, rows[job_id].status if job_id in rows else "", rows[job_id].function if job_id in rows else "")
        for job_id in ids
    )
