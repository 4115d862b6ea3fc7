"""What the pages do to dead letters besides replaying them. Each raises `ActionRefused` with a sentence."""

from __future__ import annotations

import json
import pickle
import threading
import zlib
from functools import partial
from typing import Any, Final

from worker.console.actions import ActionRefused
from worker.dead_letters.batches import Batches, Throttle
from worker.dead_letters.changes import Changes
from worker.dead_letters.filter import Filter
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine.serializers import Json
from worker.settings import Settings
from worker.text import counted, not_json

#: Letters that one click deletes; the command goes through more.
MOST_DISCARDED: Final = 10_000
#: Bytes of a payload that a form shows.
MOST_EDITED: Final = 30_000
#: Pickles that every Python from 3.8 on reads; nothing is read as one here.
_PROTOCOL: Final = 5


def discard(changes: Changes, job_ids: tuple[str, ...], chosen: Filter) -> str:
    """Delete some letters by id, or else those that match."""
    work = Batches(
        changes.dead_letters,
        chosen,
        partial(changes.discard, action="discard"),
        throttle=Throttle(None, lambda seconds: not threading.Event().wait(seconds)),
        limit=MOST_DISCARDED,
    )
    for _ in work.over(changes.dead_letters.letters(job_ids)) if job_ids else work.through_all():
        pass
    if job_ids and not work.tally.done:
        raise ActionRefused("It is no dead letter any more: it was replayed or deleted meanwhile.")
    more = " There are more; the same again goes on." if work.tally.done >= MOST_DISCARDED else ""
    return f"{counted(work.tally.done, 'dead letter')} deleted.{more}"


def edit(changes: Changes, settings: Settings, job_id: str, function: str, args: str, kwargs: str) -> str:
    """Write what a letter's job calls: a function, a JSON list and a JSON object. The first payload is kept."""
    if not function or not all(part.isidentifier() for part in function.split(".")):
        raise ActionRefused("The function must be a dotted name, like jobs.invoices.send_invoice.")
    positional, named = _json("The arguments", args, list), _json("The named arguments", kwargs, dict)
    shown = ", ".join([*map(repr, positional), *(f"{name}={value!r}" for name, value in named.items())])
    seen = _payload(changes, job_id)
    # In the format that the job had: its producer reads the result in that one, too.
    name = "pickle" if _begins(seen, 16).startswith(b"\x80") else "json"
    if name not in settings.worker_serializers:
        raise ActionRefused(f"WORKER_SERIALIZERS takes no {name}, so no consumer would read what is written here.")
    call = (function, None, tuple(positional), named)
    data = pickle.dumps(call, protocol=_PROTOCOL) if name == "pickle" else Json().dumps(call)
    _done(changes.edit(job_id, seen, zlib.compress(data), f"{function}({shown})"))
    kept = " Its steps keep what they returned before; replay it from the beginning to call them again."
    return f"It calls {function} with what you wrote now.{kept if changes.dead_letters.journal(job_id) else ''}"


def undo(changes: Changes, job_id: str) -> str:
    """Bring the first payload back."""
    _done(changes.undo(job_id, _payload(changes, job_id)))
    return "The first arguments are back."


def editable(dead_letters: DeadLetterQueue, job_id: str) -> dict[str, str] | None:
    """Return what `edit` takes, as the job's payload has it; None where it is no JSON, or too long for a form."""
    key = dead_letters.keys.job(job_id)
    size = dead_letters.redis.hstrlen(key, "data")
    data: bytes | None = dead_letters.redis.hget(key, "data") if size <= MOST_EDITED else None  # type: ignore[assignment]
    try:
        text = _begins(data or b"", MOST_EDITED + 1)
        function, _, args, kwargs = json.loads(text) if len(text) <= MOST_EDITED else []
    except (ValueError, TypeError, RecursionError):
        return None
    if not (isinstance(function, str) and isinstance(args, list) and isinstance(kwargs, dict)):
        return None
    return {"function": function, "args": json.dumps(args, indent=1), "kwargs": json.dumps(kwargs, indent=1)}


def _payload(changes: Changes, job_id: str) -> bytes:
    found: bytes | None = changes.dead_letters.redis.hget(  # type: ignore[assignment]
        changes.dead_letters.keys.job(job_id), "data"
    )
    return found or b""


def _begins(data: bytes, most: int) -> bytes:
    """Return the first bytes of a payload, which may be compressed."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return data[:most]


def _done(trouble: str) -> None:
    if trouble:
        raise ActionRefused(f"Nothing was changed: {trouble}.")


def _json(name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text, parse_constant=not_json)
    except (ValueError, RecursionError) as error:
        raise ActionRefused(f"{name} are not JSON: {error}.") from None
    if not isinstance(value, kind):
        raise ActionRefused(f"{name} must be a JSON {'list, like [1, true]' if kind is list else 'object'}.")
    return value
