"""`dead groups`: dead letters by kind of failure. Changes nothing."""

from __future__ import annotations

from typing import Any, Final

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import choosing, chosen_by, open_dead_letters
from worker.cli.dead.shown import error_cell
from worker.cli.terminal import Column, date, moment, print_lines, print_table
from worker.dead_letters.groups import Group, group
from worker.text import json_text


@click.command(cls=RedisCommand)
@choosing
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def groups(as_json: bool, **options: Any) -> None:
    """Group dead letters by kind of failure (exception, function and place in its code), largest first."""
    dead_letters, chosen = open_dead_letters(), chosen_by(options)
    ranked = group(dead_letters.newest_first(chosen))
    if as_json:
        print_lines(json_text(_as_dict(one)) for one in ranked)
        return
    if not ranked:
        click.echo("No dead letter matches." if chosen else "No dead letters.")
        return
    now = dead_letters.now()
    print_table(_COLUMNS, (_row(one, now) for one in ranked))
    total = sum(one.count for one in ranked)
    click.echo(f"{total:,} in {len(ranked):,} groups. Next: python -m worker dead list --fingerprint HEX")


def _as_dict(one: Group) -> dict[str, Any]:
    record = one.newest.record
    return {
        **{name: record.get(name, "") for name in ("fingerprint", "function", "exception", "message")},
        "count": one.count,
        "reasons": dict(one.reasons),
        "queues": dict(one.queues),
        "oldest": date(one.oldest_moment),
        "newest": date(one.newest_moment),
        "example": one.newest.job_id,
    }


_COLUMNS: Final = (
    "fingerprint",
    Column("count", right=True),
    Column("newest", right=True),
    Column("oldest", right=True, extra=True),
    Column("queues", least=6, extra=True),
    Column("function", least=14, tail=True),
    Column("reason", least=6),
    Column("newest error", least=12),
)


def _row(one: Group, now: float) -> tuple[object, ...]:
    record = one.newest.record
    return (
        record.get("fingerprint", ""),
        one.count,
        moment(one.newest_moment, now),
        moment(one.oldest_moment, now),
        ",".join(sorted(one.queues)),
        record.get("function", ""),
        ",".join(one.reasons),
        error_cell(one.newest),
    )
