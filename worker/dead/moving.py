"""`dead export` and `dead import`: dead letters as JSON Lines, every byte of them."""

from __future__ import annotations

import binascii
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, TextIO

import click
from redis.exceptions import RedisError

from worker.cli_tools import RedisCommand
from worker.dead.choosing import choosing, chosen_by, log_done, open_actions, open_box
from worker.dead.listing import chosen_letters
from worker.exits import Exit
from worker.letter_box import LetterBox

#: What a line says of itself.
FORMAT: Final = "worker-dead-letter/1"
#: Letters that are read in one round trip.
_CHUNK: Final = 200


class BadLine(Exception):
    """A line that is no exported dead letter; the message says why."""


@click.command("export", cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--limit", type=click.IntRange(1), help="The newest so many of them.")
@click.option("--output", type=click.File("w"), default="-", help="A file; standard output by default.")
def export_letters(job_ids: tuple[str, ...], limit: int | None, output: TextIO, **options: Any) -> None:
    """Write dead letters as JSON Lines, byte by byte (base64): all, or those that are chosen. Changes nothing."""
    box, count = open_box(), 0
    letters = islice(chosen_letters(box, job_ids, chosen_by(options)), limit)
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
    done, there, line_number = 0, 0, 0
    try:
        for line_number, line in enumerate(source, start=1):  # noqa: B007 — named in what is said about a bad line
            if not line.strip():
                continue
            if actions.restore(*_read(line)):
                done += 1
            else:
                there += 1
    except (BadLine, UnicodeDecodeError) as error:
        click.echo(
            f"Line {line_number}: {error}. {done:,} imported before it; correct it and import the file again: "
            f"what is there already is left alone.",
            err=True,
        )
        log_done(actions, "import", done)
        sys.exit(Exit.FAILED)
    except RedisError:
        click.echo(f"{done:,} imported so far. Import the file again to go on.", err=True)
        raise
    log_done(actions, "import", done)
    if as_json:
        click.echo(json.dumps({"imported": done, "there_already": there, "run": actions.run}))
        return
    click.echo(f"{done:,} imported, {there:,} were there already.")


def _chunks(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _lines(box: LetterBox, job_ids: list[str]) -> Iterator[dict[str, Any]]:
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


def _read(line: str) -> tuple[str, str, int, dict[bytes, bytes], list[tuple[bytes, dict[bytes, bytes]]]]:
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
    return job_id, queue, left, fields, results


def _shown(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="surrogateescape"): b64encode(value).decode() for name, value in fields.items()}


def _bytes(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(errors="surrogateescape"): b64decode(value, validate=True) for name, value in fields.items()}


COMMANDS = {"export": export_letters, "import": import_letters}
