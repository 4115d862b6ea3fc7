"""`dead import`: bring exported dead letters back."""

from __future__ import annotations

import json
import sys
from typing import Final, TextIO

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import log_done, open_changes
from worker.dead_letters.exported import BadLine, chunks, letters
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble

#: Letters that one script brings back.
_BATCH: Final = 50


@click.command("import", cls=RedisCommand)
@click.argument("source", metavar="FILE", type=click.File("r"), default="-")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON what was done.")
def import_letters(source: TextIO, as_json: bool) -> None:
    """Bring exported dead letters back from FILE or standard input, each as a dead letter, as it was.

    A job that exists is left alone, so importing twice changes nothing.
    """
    changes = open_changes(f"from {source.name}")
    done, there = 0, 0
    try:
        for chunk in chunks(letters(source), _BATCH):
            restored = changes.restore(chunk)
            done, there = done + sum(restored), there + len(chunk) - sum(restored)
    except BadLine as error:
        click.echo(
            f"{error}. {done:,} imported before it; correct it and import the file again: it skips jobs that exist.",
            err=True,
        )
        sys.exit(Exit.FAILED)
    except RedisTrouble:
        click.echo(f"{done:,} imported so far, perhaps a batch more. Import the file again to go on.", err=True)
        raise
    finally:
        log_done(changes, "import", done)
    if as_json:
        click.echo(json.dumps({"imported": done, "there_already": there, "run": changes.run}))
        return
    click.echo(f"{done:,} imported, {there:,} were there already.")
