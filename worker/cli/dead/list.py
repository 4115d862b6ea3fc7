"""`dead list`: the dead letters, newest first. Changes nothing."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import choosing, chosen_by, open_dead_letters
from worker.cli.dead.shown import date, error_of
from worker.cli.terminal import print_lines, print_table
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
    found = chosen.among(dead_letters.letters(job_ids)) if job_ids else dead_letters.newest_first(chosen)
    letters = islice(found, limit or None)
    if as_json:
        print_lines(json_text(letter.as_dict()) for letter in letters)
        return
    shown = list(letters)
    if not shown:
        click.echo("No dead letter matches." if chosen or job_ids else "No dead letters.")
        return
    print_table(("id", "queue", "function", "reason", "error", "attempts", "failed at"), map(_row, shown))
    click.echo(f"{len(shown):,} of {dead_letters.count():,} shown. Next: python -m worker dead show ID")


def _row(letter: DeadLetter) -> tuple[object, ...]:
    record = letter.record
    return (
        letter.job_id,
        letter.origin,
        record.get("function", ""),
        letter.reason,
        error_of(letter),
        record.get("attempts", ""),
        date(letter.moment),
    )
