"""`dead purge`: delete old dead letters for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import AGE, choosing, chosen_by, server_time
from worker.cli.dead.deleting import delete
from worker.dead_letters.filter import Filter


@click.command(cls=RedisCommand)
@click.option("--older-than", "age", type=AGE, required=True, help="Only letters that failed this long ago: 12h, 30d.")
@choosing
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON what was done.")
def purge(age: float, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete old dead letters, all or those that a filter chooses. Export them first if in doubt."""
    delete("purge", (), _older_than(chosen_by(options), age), yes=yes, as_json=as_json)


def _older_than(chosen: Filter, seconds: float) -> Filter:
    until = server_time() - seconds
    return replace(chosen, until=until if chosen.until is None else min(until, chosen.until))
