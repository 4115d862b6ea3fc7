"""`dead export`: write dead letters as JSON Lines, every byte of them. Changes nothing."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import Any, Final, TextIO

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import choosing, chosen_by, open_dead_letters, whole_ids
from worker.dead_letters.exported import chunks, lines
from worker.exits import Exit

#: Letters that are read in one round trip.
_CHUNK: Final = 200


@click.command("export", cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--limit", type=click.IntRange(1), help="Only this many of them, the oldest.")
@click.option("--output", type=click.File("w"), default="-", help="A file; standard output by default.")
def export_letters(job_ids: tuple[str, ...], limit: int | None, output: TextIO, **options: Any) -> None:
    """Write dead letters as JSON Lines, byte by byte (base64): all, or those that are chosen. Changes nothing."""
    dead_letters, chosen, count = open_dead_letters(), chosen_by(options), 0
    job_ids = whole_ids(dead_letters, job_ids)
    found = chosen.among(dead_letters.letters(job_ids)) if job_ids else dead_letters.oldest_first(chosen)
    for chunk in chunks((letter.job_id for letter in islice(found, limit)), _CHUNK):
        for line in lines(dead_letters, chunk):
            output.write(json.dumps(line) + "\n")
            count += 1
    click.echo(f"{count:,} exported.", err=True)
    if job_ids and count < len(set(job_ids)):
        click.echo(f"{len(set(job_ids)) - count:,} of the ids are no dead letters (any more).", err=True)
        sys.exit(Exit.FAILED)
