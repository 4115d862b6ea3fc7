"""`dead discard` and `dead purge`: delete dead letters for good, after a question."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import click

from worker.cli.dead.choosing import (
    AGE,
    choosing,
    chosen_by,
    described,
    log_done,
    need_a_choice,
    older_than,
    open_actions,
)
from worker.cli.dead.stopping import Stopping
from worker.cli.tools import RedisCommand
from worker.dead_letters.batches import Batches, Throttle
from worker.dead_letters.changes import Changes
from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble
from worker.text import printable


@click.command(cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was done.")
def discard(job_ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete dead letters: the jobs, their results and their entries. Export them first if in doubt."""
    chosen = chosen_by(options)
    need_a_choice(job_ids, chosen, everything=everything)
    _delete("discard", job_ids, chosen, yes=yes, as_json=as_json)


@click.command(cls=RedisCommand)
@click.option(
    "--older-than", "older_than_seconds", type=AGE, required=True, help="Only what failed so long ago: 12h, 30d."
)
@choosing
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was done.")
def purge(older_than_seconds: float, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete old dead letters, all or those that a filter chooses. Export them first if in doubt."""
    _delete("purge", (), older_than(chosen_by(options), older_than_seconds), yes=yes, as_json=as_json)


def _delete(action: str, job_ids: tuple[str, ...], chosen: Filter, *, yes: bool, as_json: bool) -> None:
    actions = open_actions(described(job_ids, chosen))
    named = actions.dead_letters.letters(tuple(dict.fromkeys(job_ids)))
    if not yes:
        _ask(actions, job_ids, named, chosen)
    with Stopping() as stopping:
        act = partial(actions.discard, action=action)
        rounds = Batches(actions.dead_letters, chosen, act, throttle=Throttle(None, stopping.wait))
        try:
            for _ in rounds.over(named) if job_ids else rounds.through_all():
                pass
        except RedisTrouble:
            click.echo(
                f"{rounds.tally.done:,} deleted so far, perhaps one batch more. The same command goes on from here.",
                err=True,
            )
            raise
        finally:
            log_done(actions, action, rounds.tally.done)
    _tell(actions, rounds, job_ids, named, as_json=as_json)


def _ask(actions: Changes, job_ids: tuple[str, ...], named: list[DeadLetter], chosen: Filter) -> None:
    """Ask whoever sits there; a program must say --yes."""
    if not sys.stdin.isatty():
        raise click.UsageError("This deletes jobs for good. Say --yes where nobody can be asked.")
    count = len(named) if job_ids else sum(1 for _ in actions.dead_letters.oldest_first(chosen))
    which = f" ({chosen})" if chosen else ""
    click.confirm(f"Delete {count:,} dead letter{'' if count == 1 else 's'}{which} for good?", abort=True)


def _tell(
    actions: Changes, rounds: Batches, job_ids: tuple[str, ...], named: list[DeadLetter], *, as_json: bool
) -> None:
    tally = rounds.tally
    missing = len(set(job_ids)) - len(named) + tally.gone if job_ids else 0
    if as_json:
        click.echo(json.dumps({"deleted": tally.done, "gone": missing, "stopped": tally.stopped, "run": actions.run}))
    else:
        click.echo(f"{tally.done:,} deleted.")
        found = {letter.job_id for letter in named}
        for job_id in job_ids:
            if job_id not in found:
                click.echo(f"{printable(job_id)} is no dead letter (any more).", err=True)
        if tally.gone and job_ids:
            click.echo(f"{tally.gone:,} of them changed meanwhile and were left alone.", err=True)
        if tally.stopped:
            click.echo("Stopped. What was not deleted is as it was; the same command goes on from here.", err=True)
    sys.exit(Exit.FAILED if missing or tally.stopped else Exit.OK)


COMMANDS = {"discard": discard, "purge": purge}
