"""`dead replay`: put dead letters back on their queues, all at once, at a rate, or after a few canaries."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import (
    RATE,
    choosing,
    chosen_by,
    described,
    log_done,
    open_changes,
    require_choice,
    whole_ids,
)
from worker.cli.dead.stopping import Stopping
from worker.cli.terminal import Column, print_table
from worker.console.actions.replays import Plan, Replay
from worker.dead_letters.changes import Changes
from worker.dead_letters.letter import DeadLetter
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble
from worker.text import one_line, printable

#: How many ids a dry run shows.
_SHOWN_IDS: Final = 20


@click.command(cls=RedisCommand)
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@choosing
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@click.option("--rate", type=RATE, help="At most this many: 20/s, 100/m, 500/h.")
@click.option("--limit", type=click.IntRange(1), help="Only this many of them, the oldest.")
@click.option("--to", default="", metavar="QUEUE", help="Onto this queue instead of their own.")
@click.option("--fresh", is_flag=True, help="From the beginning: forget what their steps and cursors have kept.")
@click.option("--canary", type=click.IntRange(1), help="Replay this many first, and go on only if all of them finish.")
@click.option("--canary-timeout", default=300.0, show_default=True, help="Seconds to wait for the canaries.")
@click.option("--dry-run", is_flag=True, help="Only show what would be replayed.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON what was done.")
def replay(
    job_ids: tuple[str, ...],
    everything: bool,
    rate: float | None,
    limit: int | None,
    to: str,
    fresh: bool,
    canary: int | None,
    canary_timeout: float,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Put dead letters back on their queues, oldest first; each is replayed once, even if others replay, too.

    A job with steps goes on from what they have kept, unless it begins --fresh. A job that fails again meanwhile is not
    replayed again. Ctrl-C stops between two batches; the same command goes on.
    """
    chosen = chosen_by(options)
    require_choice(job_ids, chosen, everything=everything)
    changes = open_changes(described(job_ids, chosen))
    job_ids = whole_ids(changes.dead_letters, job_ids)
    plan = Plan(job_ids, chosen, to, fresh, limit, rate, canary or 0, canary_timeout)
    if to == changes.dead_letters.name:
        raise click.UsageError(f"{to} holds dead letters, and no consumer reads it. Name another queue with --to.")
    if dry_run:
        _report_dry_run(_meant(changes, plan), as_json=as_json)
        return
    with Stopping() as stopping:
        run = Command(changes, plan, stopping)
        run.go(quiet=as_json)
    run.report(as_json=as_json)
    sys.exit(run.exit_code)


class Command:
    """One replay, as a command shows it."""

    def __init__(self, changes: Changes, plan: Plan, stopping: Stopping) -> None:
        self._changes = changes
        self._replay = Replay(changes, plan, stopping.wait, lambda warning: click.echo(one_line(warning), err=True))
        self._plan = plan

    def go(self, *, quiet: bool) -> None:
        """Replay, with a progress bar on a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console, tally = Console(stderr=True), self._replay.tally
        try:
            with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
                task = bar.add_task("replaying", total=self._replay.total())
                for step in self._replay.steps():
                    bar.update(task, completed=tally.done, description=step)
        except RedisTrouble:
            click.echo(
                f"{tally.done:,} replayed so far, perhaps a batch more. The same command goes on from here.", err=True
            )
            raise
        finally:
            log_done(self._changes, "replay", tally.done, to=self._plan.to or None)

    @property
    def exit_code(self) -> Exit:
        """Return the exit code. Letters that others took first matter only when the command line names their ids."""
        replay = self._replay
        return Exit.FAILED if replay.failed or replay.tally.stopped or replay.gone else Exit.OK

    def report(self, *, as_json: bool) -> None:
        """Print what was done."""
        tally, failed = self._replay.tally, self._replay.failed
        if as_json:
            done = {"replayed": tally.done, "gone": tally.gone, "stopped": tally.stopped}
            click.echo(json.dumps({**done, "canaries_failed": failed, "run": self._changes.run}))
            return
        click.echo(f"{tally.done:,} replayed.")
        for job_id in self._replay.gone:
            click.echo(f"{printable(job_id)} {_GONE}", err=True)
        if tally.stopped:
            click.echo("Stopped. What was not replayed is as it was; the same command goes on from here.", err=True)
        if failed:
            for job_id, status in failed.items():
                click.echo(f"  canary {printable(job_id)}: {status}", err=True)
            click.echo(
                f"{len(failed)} of the canaries did not finish, so nothing more was replayed. Look at one: "
                f"python -m worker dead show {printable(next(iter(failed)))}",
                err=True,
            )


_COLUMNS: Final = ("queue", "function", "reason", "count")
_SHOWN: Final = (
    Column("queue", least=7),
    Column("function", least=16, tail=True),
    "reason",
    Column("count", right=True),
)
_GONE: Final = "is no dead letter any more: it was replayed or deleted, or it never was one."


def _meant(changes: Changes, plan: Plan) -> Iterator[DeadLetter]:
    if plan.job_ids:
        return islice(changes.dead_letters.letters(plan.job_ids), plan.limit)
    return islice(changes.dead_letters.oldest_first(plan.chosen), plan.limit)


def _report_dry_run(letters: Iterator[DeadLetter], *, as_json: bool) -> None:
    kinds: Counter[tuple[str, str, str]] = Counter()
    first_ids: list[str] = []
    for letter in letters:
        kinds[(letter.origin, letter.function, letter.reason)] += 1
        if len(first_ids) < _SHOWN_IDS:
            first_ids.append(letter.job_id)
    total = kinds.total()
    rows = [(*kind, count) for kind, count in kinds.most_common()]
    if as_json:
        shown = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        click.echo(json.dumps({"would_replay": total, "kinds": shown, "first_ids": first_ids}))
        return
    if rows:
        print_table(_SHOWN, rows)
    click.echo(f"{total:,} would be replayed. Nothing was changed.")
