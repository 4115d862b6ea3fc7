"""The JSON Lines of `dead export` and `dead import`: every byte of a dead letter."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final, TextIO, TypeVar

from worker.dead_letters.changes import Exported
from worker.dead_letters.queue import DeadLetterQueue
from worker.keys import Keys

#: Every line names its format.
FORMAT: Final = "worker-dead-letter/1"

_Item = TypeVar("_Item")


class BadLine(Exception):
    """A line that is no exported dead letter; the message says why."""


def chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    """Cut items into lists; before a `BadLine` the items that came before it are yielded."""
    chunk: list[_Item] = []
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except BadLine:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def lines(dead_letters: DeadLetterQueue, job_ids: list[str]) -> Iterator[dict[str, Any]]:
    """Read dead letters and yield a line of each; jobs that are none any more are left out."""
    keys = Keys(dead_letters.prefix)
    with dead_letters.redis.pipeline(transaction=False) as pipeline:
        for job_id in job_ids:
            pipeline.hgetall(keys.job(job_id))
            pipeline.pttl(keys.job(job_id))
            pipeline.xrange(keys.results(job_id))
            pipeline.hgetall(keys.journal(job_id))
            pipeline.lrange(keys.log(job_id), 0, -1)
        replies = pipeline.execute()
    parts = (replies[part::5] for part in range(5))
    for job_id, fields, left, results, journal, log in zip(job_ids, *parts, strict=True):
        if fields.get(b"status") == b"failed":
            yield {
                "format": FORMAT,
                "id": job_id,
                "queue": fields.get(b"origin", b"").decode(errors="surrogateescape"),
                "expires_in_ms": max(-1, left),
                "hash": _encoded(fields),
                "results": [[result_id.decode(), _encoded(values)] for result_id, values in results],
                "journal": _encoded(journal),
                "log": [b64encode(line).decode() for line in log],
            }


def letters(source: TextIO) -> Iterator[Exported]:
    """Read exported letters line by line; raises `BadLine` that names the line."""
    number = 0
    try:
        for number, line in enumerate(source, start=1):  # noqa: B007 — named when a line is bad
            if line.strip():
                yield _read(line)
    except UnicodeDecodeError as error:
        raise BadLine(f"Line {number + 1}: it is not UTF-8") from error
    except BadLine as error:
        raise BadLine(f"Line {number}: {error}") from error


def _read(line: str) -> Exported:
    """Read one line; raises `BadLine`."""
    try:
        parts = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"it is not JSON ({error})") from error
    if not isinstance(parts, dict) or parts.get("format") != FORMAT:
        raise BadLine(f"its format is not {FORMAT}")
    try:
        job_id, queue, left = parts["id"], parts["queue"], parts["expires_in_ms"]
        fields = _decoded(parts["hash"])
        results = [(str(name).encode(), _decoded(values)) for name, values in parts["results"]]
        journal = _decoded(parts.get("journal", {}))
        log = [b64decode(line, validate=True) for line in parts.get("log", [])]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise BadLine(f"a part of it is missing or damaged ({type(error).__name__}: {error})") from error
    named = all(isinstance(text, str) and text for text in (job_id, queue))
    if not (named and isinstance(left, int) and fields):
        raise BadLine("its id, queue, life or hash is not what an export writes")
    return Exported(job_id, queue, left, fields, results, journal, log)


def _encoded(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="surrogateescape"): b64encode(value).decode() for name, value in fields.items()}


def _decoded(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(errors="surrogateescape"): b64decode(value, validate=True) for name, value in fields.items()}
