"""What is written about a job that failed for good, so that a person can work with it later.

A dead letter is an ordinary failed RQ job (hash, result, FailedJobRegistry of its origin) whose id also stands on an
ordinary queue that nobody consumes. The record says why in ``job.meta["dead_letter"]`` and, for readers that cannot or
must not unpickle, as JSON in the field ``dead_letter`` of the job's hash. It holds no argument values.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Final

from rq.job import Job

from worker import logs
from worker.claims import Claim, Value

log = logs.get_logger()

#: Steps of a traceback that the record keeps: its end, where the error is. The result holds all of it.
TRACEBACK_STEPS: Final = 12
#: Characters of each step; the last one holds the exception's whole message.
STEP_CHARACTERS: Final = 2000
#: Characters of an exception's message that the record keeps.
MESSAGE_CHARACTERS: Final = 500

#: Reason code → what it means, for people.
REASONS: Final = {
    "failed": "the job raised and had no retries",
    "permanent": "the job said that trying again cannot help (PermanentError)",
    "not_retryable": "the job's retry policy does not retry this error",
    "attempts_exhausted": "every attempt failed",
    "timeout": "the job ran longer than its timeout",
    "crashed": "the job's process died again and again while it ran",
    "stopped": "somebody stopped the job",
    "refused_function": "its function is not in the job packages",
    "refused_class": "its payload names a class that is not allowed",
    "refused_serializer": "its payload's format is not accepted",
    "unknown_function": "this release has no such function",
    "unreadable_payload": "its payload cannot be read",
    "unreadable_hash": "its record in Redis cannot be read",
    "abandoned": "another worker failed it",
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
) -> dict[str, Any]:
    """Describe one burial: JSON-able, and without a single argument value."""
    tail = traceback.format_exception(error)[-TRACEBACK_STEPS:] if error is not None else []
    tail = [step if len(step) <= STEP_CHARACTERS else step[:STEP_CHARACTERS] + "…\n" for step in tail]
    return {
        "reason": reason,
        "exception": _name(error) if error is not None else "",
        "message": (sentence or (words(error) if error is not None else ""))[:MESSAGE_CHARACTERS],
        "traceback": printable("".join(tail)),
        "fingerprint": fingerprint(function, error, reason),
        "function": function,
        "queue": claim.origin,
        "attempts": attempts,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "worker": worker,
        "release": release or "",
    }


def fingerprint(function: str, error: BaseException | None, reason: str) -> str:
    """Name the kind of failure: 12 hex digits of error type, function and innermost frame of the job's own code.

    The line number is left out, so that an unrelated edit above does not make a new kind.
    """
    frame = ""
    if error is not None:
        package = function.partition(".")[0]
        for step in traceback.extract_tb(error.__traceback__):
            if (package and package in PurePath(step.filename).parts) or not frame:
                frame = f"{PurePath(step.filename).name}:{step.name}"
    kind = _name(error) if error is not None else reason
    return hashlib.sha256(f"{kind}|{function}|{frame}".encode()).hexdigest()[:12]


def words(error: BaseException) -> str:
    """Return an exception's text, whatever its author made of it."""
    try:
        return printable(str(error))
    except Exception:  # noqa: BLE001 — job code's own __str__ may raise anything
        return "(its text cannot be shown)"


def printable(text: str) -> str:
    """Return `text` with what UTF-8 cannot hold (a file name's odd bytes) written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def fields(job: Job | None, letter: dict[str, Any]) -> dict[str, Value]:
    """Return the hash fields that carry the record: readable JSON, and the job's meta when it can be written."""
    written: dict[str, Value] = {"dead_letter": json.dumps(letter)}
    if job is not None and job._unreadable_meta is None:
        job.meta["dead_letter"] = letter
        try:
            written["meta"] = job._serialize_meta()
        except Exception as error:  # noqa: BLE001 — job code may have put anything there, and not saved it
            log.warning("job.meta_not_written", job_id=job.id, error=words(error))
    return written


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def read(text: Any) -> dict[str, Any]:
    """Read a record from the field ``dead_letter``; {} when there is none or it is not ours."""
    try:
        letter = json.loads(text) if text else {}
    except ValueError:
        return {}
    return letter if isinstance(letter, dict) else {}
