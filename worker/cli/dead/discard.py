"""`dead discard`: delete dead letters for good."""

from __future__ import annotations

from typing import Any

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import choosing, chosen_by, require_choice
from worker.cli.dead.deleting import delete


@click.command(cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON what was done.")
def discard(job_ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete dead letters: the jobs, their results and their entries. Export them first if in doubt."""
    chosen = chosen_by(options)
    require_choice(job_ids, chosen, everything=everything)
    delete("discard", job_ids, chosen, yes=yes, as_json=as_json)
