"""`dead list` and `dead groups`: what is there. Changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from worker.cli.dead.choosing import choosing, chosen_by, open_box
from worker.cli.terminal import print_lines, print_table
from worker.cli.tools import RedisCommand
from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.text import one_line

#: Characters of an error's message in a table.
ERROR_CHARACTERS = 80


@click.command("list", cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--limit", default=50, show_default=True, help="How many to show, newest first; 0 = all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(job_ids: tuple[str, ...], limit: int, as_json: bool, **options: Any) -> None:
    """List dead letters, newest first: all, those that a filter chooses, or some ids."""
    box, chosen = open_box(), chosen_by(options)
    letters = islice(chosen_letters(box, job_ids, chosen), limit or None)
    if as_json:
        print_lines(json.dumps(letter.as_dict()) for letter in letters)
        return
    shown = list(letters)
    if not shown:
        click.echo("No dead letter fits." if chosen or job_ids else "No dead letters.")
        return
    print_table(("id", "queue", "function", "reason", "error", "attempts", "failed at"), map(_row, shown))
    click.echo(f"{len(shown):,} of {box.count():,} shown. Next: python -m worker dead show ID")


@click.command(cls=RedisCommand)
@choosing
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def groups(as_json: bool, **options: Any) -> None:
    """Group dead letters by kind of failure (exception, function and place in its code), largest first."""
    box, chosen = open_box(), chosen_by(options)
    found: dict[tuple[str, str], Group] = {}
    for letter in box.newest_first(chosen):
        key = letter.fingerprint, "" if letter.fingerprint else letter.reason
        group = found.get(key)
        if group is None:
            group = found[key] = Group(letter)
        group.add(letter)
    ranked = sorted(found.values(), key=lambda group: -group.count)
    if as_json:
        for group in ranked:
            click.echo(json.dumps(group.as_dict()))
        return
    if not ranked:
        click.echo("No dead letter fits." if chosen else "No dead letters.")
        return
    print_table(
        ("fingerprint", "count", "function", "reason", "newest error", "queues", "oldest", "newest"),
        (group.row() for group in ranked),
    )
    total = sum(group.count for group in ranked)
    click.echo(f"{total:,} in {len(ranked):,} groups. Next: python -m worker dead list --fingerprint HEX")


@dataclass(slots=True)
class Group:
    """Letters of one kind; `newest` is the first that was seen."""

    newest: DeadLetter
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    queues: Counter[str] = field(default_factory=Counter)
    oldest_moment: float = 0.0
    newest_moment: float = 0.0

    def add(self, letter: DeadLetter) -> None:
        """Count a letter."""
        moment = letter.moment
        self.oldest_moment = min(self.oldest_moment, moment) if self.count else moment
        self.newest_moment = max(self.newest_moment, moment)
        self.count += 1
        self.reasons[letter.reason] += 1
        self.queues[letter.origin] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        record = self.newest.record
        return {
            **{name: record.get(name, "") for name in ("fingerprint", "function", "exception", "message")},
            "count": self.count,
            "reasons": dict(self.reasons),
            "queues": dict(self.queues),
            "oldest": date(self.oldest_moment),
            "newest": date(self.newest_moment),
            "example": self.newest.job_id,
        }

    def row(self) -> tuple[object, ...]:
        """Return a line of the table."""
        record = self.newest.record
        return (
            record.get("fingerprint", ""),
            self.count,
            record.get("function", ""),
            ",".join(self.reasons),
            error_of(self.newest),
            ",".join(sorted(self.queues)),
            date(self.oldest_moment),
            date(self.newest_moment),
        )


def chosen_letters(box: DeadLetterQueue, job_ids: tuple[str, ...], chosen: Filter) -> Iterator[DeadLetter]:
    """Return the letters of some ids, or those that a filter means, newest first."""
    if job_ids:
        return iter(chosen.among(box.letters(job_ids)))
    return box.newest_first(chosen)


def error_of(letter: DeadLetter) -> str:
    """Return a letter's exception and message on one line, cut to fit."""
    text = one_line(f"{letter.record.get('exception', '')} {letter.record.get('message', '')}".strip())
    return text if len(text) <= ERROR_CHARACTERS else f"{text[: ERROR_CHARACTERS - 1]}…"


def date(moment: float) -> str:
    """Return a moment as people read it, in UTC; "" if it is unknown."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


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


COMMANDS = {"list": list_letters, "groups": groups}
