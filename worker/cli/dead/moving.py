"""`dead export` and `dead import`: dead letters as JSON Lines, every byte of them."""

from __future__ import annotations

import binascii
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, TextIO, TypeVar

import click

from worker.cli.dead.choosing import choosing, chosen_by, log_done, open_actions, open_box
from worker.cli.tools import RedisCommand
from worker.dead_letters.changes import Exported
from worker.dead_letters.queue import DeadLetterQueue
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble

#: What a line says of itself.
FORMAT: Final = "worker-dead-letter/1"
#: Letters that are read in one round trip.
_CHUNK: Final = 200
#: Letters that one script brings back.
_BATCH: Final = 50

_Item = TypeVar("_Item")


class BadLine(Exception):
    """A line that is no exported dead letter; the message says why."""


@click.command("export", cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--limit", type=click.IntRange(1), help="The oldest so many of them.")
@click.option("--output", type=click.File("w"), default="-", help="A file; standard output by default.")
def export_letters(job_ids: tuple[str, ...], limit: int | None, output: TextIO, **options: Any) -> None:
    """Write dead letters as JSON Lines, byte by byte (base64): all, or those that are chosen. Changes nothing."""
    box, chosen, count = open_box(), chosen_by(options), 0
    letters = islice(iter(chosen.among(box.letters(job_ids))) if job_ids else box.oldest_first(chosen), limit)
    for chunk in _chunks((letter.job_id for letter in letters), _CHUNK):
        for line in _lines(box, chunk):
            output.write(json.dumps(line) + "\n")
            count += 1
    click.echo(f"{count:,} exported.", err=True)
    if job_ids and count < len(set(job_ids)):
        click.echo(f"{len(set(job_ids)) - count:,} of the ids are no dead letters (any more).", err=True)
        sys.exit(Exit.FAILED)


@click.command("import", cls=RedisCommand)
@click.argument("source", metavar="FILE", type=click.File("r"), default="-")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was done.")
def import_letters(source: TextIO, as_json: bool) -> None:
    """Bring exported dead letters back from FILE or standard input, each as a dead letter, as it was.

    A job that exists is left alone, so importing twice changes nothing.
    """
    actions = open_actions(f"from {source.name}")
    done, there = 0, 0
    try:
        for chunk in _chunks(_letters(source), _BATCH):
            brought = actions.restore(chunk)
            done, there = done + sum(brought), there + len(chunk) - sum(brought)
    except BadLine as error:
        click.echo(
            f"{error}. {done:,} imported before it; correct it and import the file again: "
            f"what is there already is left alone.",
            err=True,
        )
        sys.exit(Exit.FAILED)
    except RedisTrouble:
        click.echo(f"{done:,} imported so far, perhaps a batch more. Import the file again to go on.", err=True)
        raise
    finally:
        log_done(actions, "import", done)
    if as_json:
        click.echo(json.dumps({"imported": done, "there_already": there, "run": actions.run}))
        return
    click.echo(f"{done:,} imported, {there:,} were there already.")


def _chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    """Cut items into lists; those that came before an error are handed on before it."""
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


def _letters(source: TextIO) -> Iterator[Exported]:
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


def _lines(box: DeadLetterQueue, job_ids: list[str]) -> Iterator[dict[str, Any]]:
    """Read jobs and describe them; those that went meanwhile are left out."""
    with box.redis.pipeline(transaction=False) as pipeline:
        for job_id in job_ids:
            pipeline.hgetall(f"{box.prefix}:job:{job_id}")
            pipeline.pttl(f"{box.prefix}:job:{job_id}")
            pipeline.xrange(f"{box.prefix}:results:{job_id}")
        replies = pipeline.execute()
    for job_id, fields, left, results in zip(job_ids, replies[::3], replies[1::3], replies[2::3], strict=True):
        if fields.get(b"status") == b"failed":
            yield {
                "format": FORMAT,
                "id": job_id,
                "queue": fields.get(b"origin", b"").decode(errors="surrogateescape"),
                "expires_in_ms": max(-1, left),
                "hash": _shown(fields),
                "results": [[result_id.decode(), _shown(values)] for result_id, values in results],
            }


def _read(line: str) -> Exported:
    """Read one line; raises `BadLine`."""
    try:
        told = json.loads(line)
    except ValueError as error:
        raise BadLine(f"it is not JSON ({error})") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise BadLine(f"it does not say that its format is {FORMAT}")
    try:
        job_id, queue, left = told["id"], told["queue"], told["expires_in_ms"]
        fields = _bytes(told["hash"])
        results = [(str(name).encode(), _bytes(values)) for name, values in told["results"]]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise BadLine(f"a part of it is missing or spoilt ({type(error).__name__}: {error})") from error
    named = all(isinstance(text, str) and text for text in (job_id, queue))
    if not (named and isinstance(left, int) and fields):
        raise BadLine("its id, queue, life or hash is not what an export writes")
    return Exported(job_id, queue, left, fields, results)


def _shown(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="surrogateescape"): b64encode(value).decode() for name, value in fields.items()}


def _bytes(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(errors="surrogateescape"): b64decode(value, validate=True) for name, value in fields.items()}


COMMANDS = {"export": export_letters, "import": import_letters}
