"""The record of a job that failed for good, so that a person can work with it later.

A dead letter is an ordinary failed RQ job (hash, result, FailedJobRegistry of its origin) whose id is also on an
ordinary queue that nobody consumes. The record is in ``job.meta["dead_letter"]`` and, for readers that cannot or must
not unpickle, as JSON in the field ``dead_letter`` of the job's hash. It holds no argument values. The traceback is not
in it but in the job's RQ result, once. Its bulky part, ``history``, comes last: ``scripts/letters.lua`` reads records
without it.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

from rq.job import Job

from worker import journal
from worker.engine import rq_private
from worker.engine.meta import MetaChange
from worker.engine.records import Claim
from worker.redis.calls import Value

#: Characters of an exception's message that the record keeps.
MESSAGE_CHARACTERS: Final = 500
#: The same of a name (of a queue, a worker, a function): it comes from the job's hash, where anybody writes anything.
NAME_CHARACTERS: Final = 255
#: Earlier burials of the same job that a record remembers, and how much of each.
HISTORY_ENTRIES: Final = 10
_HISTORY_PARTS: Final = ("at", "reason", "exception", "message", "attempts", "fingerprint", "release")
_HISTORY_CHARACTERS: Final = 200
_MOST: Final = 10**15

#: Reason code → what it means, for people.
REASONS: Final = {
    "failed": "the job raised and had no retries",
    "permanent": "the job raised PermanentError: trying again cannot help",
    "not_retryable": "the job's retry policy does not retry this error",
    "attempts_exhausted": "every attempt failed",
    "timeout": "the job ran longer than its timeout",
    "crashed": "the job's process died again and again while it ran",
    "stopped": "the job was stopped by order",
    "handed_back": "stops of the service interrupted the job again and again",
    "refused_function": "its function is not in the job packages",
    "refused_class": "its payload names a class that is not allowed",
    "refused_serializer": "its payload's format is not accepted",
    "unknown_function": "this release has no such function or class",
    "unreadable_payload": "its payload cannot be read",
    "payload_too_large": "its payload is larger than WORKER_MAX_PAYLOAD_BYTES allows",
    "unreadable_hash": "its record in Redis cannot be read",
    "mishandled": "the worker itself failed at it",
    "result_too_large": "it returned more than WORKER_MAX_RESULT_BYTES allows",
    "outcome_refused": "Redis does not take its result or its failure",
    "abandoned": "the plain RQ worker that ran the job vanished",
    "failed_elsewhere": "a plain RQ worker recorded the failure",
}

#: Reason code → what to do next, for people; replaying is always the last step.
NEXT_STEPS: Final = {
    "permanent": "it would fail again as it is: correct what it names, or edit its arguments",
    "timeout": "find out what the job waits for, or enqueue it with a longer job_timeout",
    "crashed": "look for a memory limit or a crash in native code before it costs processes again",
    "refused_function": "move the function into a package of WORKER_JOB_MODULES, or add its package there",
    "refused_class": "send plain values, or allow the class with WORKER_PICKLE_CLASSES",
    "refused_serializer": "add the format to WORKER_SERIALIZERS, or change the producer",
    "unknown_function": "deploy the release that has it, or edit the name",
    "unreadable_payload": "correct the producer; give the job a payload with --function, --args and --kwargs of edit",
    "payload_too_large": "keep large arguments elsewhere and pass where they are, or raise the limit",
    "result_too_large": "let it keep large results elsewhere and return where they are, or raise the limit",
    "outcome_refused": "the message says what Redis answered: a size limit, or a key that holds something else",
    "mishandled": "see the log line job.mishandled: its record holds what nobody expects, or the worker has a fault",
    "unreadable_hash": "correct the producer; the job's hash must be corrected before the job can run",
}


def record(
    reason: str,
    claim: Claim,
    *,
    attempts: int,
    worker: str,
    release: str | None,
    function: str = "",
    error: BaseException | None = None,
    sentence: str = "",
    subject: str = "",
    earlier: dict[str, Any] | None = None,
    first_failed_at: str = "",
    now: datetime,
) -> dict[str, Any]:
    """Return the record of one burial: JSON-able, and without a single argument value.

    `subject` is the class that was refused, if one was. `earlier` is the record of the job's last burial, if there was
    one; `first_failed_at` is when the first attempt since then failed, "" if it was this one; `now` is the server's
    time.
    """
    at = now.isoformat(timespec="seconds")
    stands = journal.described(journal.standing_of(claim.fields))
    return {
        "reason": reason,
        "exception": _kind(error) if error is not None else "",
        "message": (sentence or (words(error) if error is not None else ""))[:MESSAGE_CHARACTERS],
        "fingerprint": fingerprint(function, error, f"{reason} {subject}" if subject else reason),
        "function": short_name(function),
        "queue": short_name(claim.origin),
        "attempts": attempts,
        "first_failed_at": short_name(first_failed_at) or at,
        "at": at,
        "worker": short_name(worker),
        "instance": short_name(worker.rpartition(".")[0]),
        "release": short_name(release or ""),
        **({"journal": stands[:MESSAGE_CHARACTERS]} if stands else {}),
        "history": history(earlier),
    }


def history(earlier: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return what a new record keeps of the job's earlier burials, oldest first; `earlier` is the last record."""
    if not earlier:
        return []
    before = earlier.get("history")
    entries = [*(before[-HISTORY_ENTRIES:] if isinstance(before, list) else []), earlier]
    return [_kept(entry) for entry in entries if isinstance(entry, dict)][-HISTORY_ENTRIES:]


def _kept(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a record, which somebody else may have written: short texts and whole numbers."""
    kept: dict[str, Any] = {}
    for part in _HISTORY_PARTS:
        value = entry.get(part)
        if isinstance(value, str) and value:
            kept[part] = value[:_HISTORY_CHARACTERS]
        elif isinstance(value, int) and abs(value) < _MOST:
            kept[part] = value
    return kept


def earlier(job: Job | None, claim: Claim) -> dict[str, Any]:
    """Return the record of the job's last burial, {} if it had none. After a replay the job's meta keeps it."""
    written = read(claim.fields.get(b"dead_letter"))
    if not written and job is not None and rq_private.meta_is_readable(job):
        meta = job.meta.get("dead_letter") if isinstance(job.meta, dict) else None
        written = meta if isinstance(meta, dict) else {}
    return written


def fingerprint(function: str, error: BaseException | None, reason: str) -> str:
    """Name the kind of failure: 12 hex digits of error type, function and innermost frame of the job's own code.

    Where nothing was raised, `reason` stands in for the error type, with what it is about.
    The line number is left out, so that an unrelated edit above does not make a new kind.
    """
    frame = ""
    if error is not None:
        package = function.partition(".")[0]
        for step, _ in traceback.walk_tb(error.__traceback__):
            code = step.f_code
            if (package and package in PurePath(code.co_filename).parts) or not frame:
                frame = f"{PurePath(code.co_filename).name}:{code.co_name}"
    return digest(_kind(error) if error is not None else reason, function, frame)


def digest(kind: str, function: str, frame: str) -> str:
    """Return the fingerprint of a kind of error in a function; `frame` is ``file.py:function`` or ""."""
    return hashlib.sha256(f"{kind}|{function}|{frame}".encode("utf-8", "backslashreplace")).hexdigest()[:12]


def words(error: BaseException) -> str:
    """Return an exception's text, even if its `__str__` fails."""
    try:
        return encodable(str(error))
    except Exception:  # noqa: BLE001 — job code's own __str__ may raise anything
        return "(its text cannot be shown)"


def encodable(text: str) -> str:
    """Return `text` with escapes for what UTF-8 cannot encode, such as odd bytes of a file name."""
    return text.encode("utf-8", "backslashreplace").decode()


def fields(letter: dict[str, Any]) -> dict[str, Value]:
    """Return the hash field that carries the record, as readable JSON."""
    return {"dead_letter": json.dumps(letter)}


def in_meta(job: Job | None, letter: dict[str, Any]) -> MetaChange | None:
    """Return what puts the record into the job's meta, None where that is not possible."""
    return MetaChange.entry(job, "dead_letter", letter) if job is not None else None


def short_name(text: str) -> str:
    """Return a name as a record keeps it: cut where it is too long to be one."""
    return text if len(text) <= NAME_CHARACTERS else text[: NAME_CHARACTERS - 1] + "…"


def _kind(error: BaseException) -> str:
    kind = type(error)
    full = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return full[:MESSAGE_CHARACTERS]


def read(text: Any) -> dict[str, Any]:
    """Read a record from the field ``dead_letter``; {} when there is none or it is not ours."""
    try:
        letter = json.loads(text.decode() if isinstance(text, bytes) else text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return letter if isinstance(letter, dict) else {}
