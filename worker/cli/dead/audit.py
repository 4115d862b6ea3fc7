"""`dead audit`: who changed which dead letters. Changes nothing."""

from __future__ import annotations

import json
from typing import Final

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import open_dead_letters
from worker.cli.terminal import Column, date, print_lines, print_table, short_id
from worker.dead_letters import changes


@click.command(cls=RedisCommand)
@click.option("--limit", default=1000, show_default=True, help="How many batches to read, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the ids.")
def audit(limit: int, as_json: bool) -> None:
    """Show who replayed, edited, deleted or imported dead letters."""
    lines = changes.audit(open_dead_letters(), limit)
    if as_json:
        print_lines(json.dumps({**line, "count": int(line["count"]), "ids": line["ids"].split()}) for line in lines)
        return
    if not lines:
        click.echo("Nobody has changed a dead letter yet.")
        return
    print_table(_COLUMNS, map(_row, _by_run(lines)))


_COLUMNS: Final = (
    "at",
    Column("who", least=8),
    "action",
    Column("count", right=True),
    Column("run", least=6),
    Column("which", least=10),
    "first id",
)


def _by_run(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Merge the batches of one command into one line; `lines` come newest first."""
    runs: dict[tuple[str, str], dict[str, str]] = {}
    for line in lines:
        key = (line["run"], line["action"])
        count = int(runs[key]["count"]) if key in runs else 0
        runs[key] = {
            **line,
            "count": str(count + int(line["count"])),
            "at": runs[key]["at"] if key in runs else line["at"],
        }
    return list(runs.values())


def _row(line: dict[str, str]) -> tuple[object, ...]:
    ids = line["ids"].split()
    return (
        date(int(line["at"]) / 1000),
        line["who"],
        line["action"],
        line["count"],
        line["run"],
        line["note"],
        short_id(ids[0]) if ids else "",
    )
