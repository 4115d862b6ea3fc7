"""`dead list`: the dead letters, newest first. Changes nothing."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import choosing, chosen_by, open_dead_letters, whole_ids
from worker.cli.dead.shown import error_cell
from worker.cli.terminal import Column, moment, print_lines, print_table, short_id
from worker.dead_letters.letter import DeadLetter
from worker.text import json_text


@click.command("list", cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--limit", default=50, show_default=True, help="How many to show, newest first; 0 = all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(job_ids: tuple[str, ...], limit: int, as_json: bool, **options: Any) -> None:
    """List dead letters, newest first: all, those that a filter chooses, or some ids."""
    dead_letters, chosen = open_dead_letters(), chosen_by(options)
    job_ids = whole_ids(dead_letters, job_ids)
    found = chosen.among(dead_letters.letters(job_ids)) if job_ids else dead_letters.newest_first(chosen)
    letters = islice(found, limit or None)
    if as_json:
        print_lines(json_text(letter.as_dict()) for letter in letters)
        return
    shown = list(letters)
    if not shown:
        click.echo("No dead letter matches." if chosen or job_ids else "No dead letters.")
        return
    now = dead_letters.now()
    print_table(_COLUMNS, (_row(letter, now) for letter in shown))
    click.echo(f"{len(shown):,} of {dead_letters.count():,} shown. Next: python -m worker dead show ID")


_COLUMNS: Final = (
    "id",
    Column("failed", right=True),
    Column("queue", least=7, extra=True),
    Column("function", least=16, tail=True),
    Column("reason", least=9),
    Column("tries", right=True, extra=True),
    Column("error", least=12),
)


def _row(letter: DeadLetter, now: float) -> tuple[object, ...]:
    record = letter.record
    return (
        short_id(letter.job_id),
        moment(letter.moment, now),
        letter.origin,
        record.get("function", ""),
        letter.reason,
        record.get("attempts", ""),
        error_cell(letter),
    )
