"""What `dead discard` and `dead purge` share: delete dead letters for good, after a question."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from worker.cli.dead.choosing import described, log_done, open_changes, whole_ids
from worker.cli.dead.stopping import Stopping
from worker.dead_letters.batches import Batches, Throttle
from worker.dead_letters.changes import Changes
from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble
from worker.text import counted, printable


def delete(action: str, job_ids: tuple[str, ...], chosen: Filter, *, yes: bool, as_json: bool) -> None:
    """Delete some ids or what `chosen` matches, and end the process; `action` names the command in the audit."""
    changes = open_changes(described(job_ids, chosen))
    job_ids = whole_ids(changes.dead_letters, job_ids)
    named = changes.dead_letters.letters(job_ids)
    if not yes:
        _ask(changes, job_ids, named, chosen)
    with Stopping() as stopping:
        act = partial(changes.discard, action=action)
        work = Batches(changes.dead_letters, chosen, act, throttle=Throttle(None, stopping.wait))
        try:
            for _ in work.over(named) if job_ids else work.through_all():
                pass
        except RedisTrouble:
            click.echo(
                f"{work.tally.done:,} deleted so far, perhaps one batch more. The same command goes on from here.",
                err=True,
            )
            raise
        finally:
            log_done(changes, action, work.tally.done)
    _report(changes, work, job_ids, named, as_json=as_json)


def _ask(changes: Changes, job_ids: tuple[str, ...], named: list[DeadLetter], chosen: Filter) -> None:
    """Ask the person at the terminal; a program must give --yes."""
    if not sys.stdin.isatty():
        raise click.UsageError("This deletes jobs for good. Give --yes where nobody can be asked.")
    count = len(named) if job_ids else sum(1 for _ in changes.dead_letters.oldest_first(chosen))
    which = f" ({chosen})" if chosen else ""
    click.confirm(f"Delete {counted(count, 'dead letter')}{which} for good?", abort=True)


def _report(
    changes: Changes, work: Batches, job_ids: tuple[str, ...], named: list[DeadLetter], *, as_json: bool
) -> None:
    tally = work.tally
    missing = len(set(job_ids)) - len(named) + tally.gone if job_ids else 0
    if as_json:
        click.echo(json.dumps({"deleted": tally.done, "gone": missing, "stopped": tally.stopped, "run": changes.run}))
    else:
        click.echo(f"{tally.done:,} deleted.")
        found = {letter.job_id for letter in named}
        for job_id in job_ids:
            if job_id not in found:
                click.echo(f"{printable(job_id)} is no dead letter (any more).", err=True)
        if tally.gone and job_ids:
            click.echo(f"{tally.gone:,} of them changed meanwhile and were left alone.", err=True)
        if tally.stopped:
            click.echo("Stopped. What was not deleted is unchanged; the same command goes on from here.", err=True)
    sys.exit(Exit.FAILED if missing or tally.stopped else Exit.OK)
