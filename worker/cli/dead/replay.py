"""`dead replay`: put dead letters back on their queues, all at once, at a rate, or after a few canaries."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import RATE, choosing, chosen_by, described, log_done, open_changes, require_choice
from worker.cli.dead.stopping import Stopping
from worker.cli.terminal import print_table
from worker.dead_letters.batches import Batches, Throttle
from worker.dead_letters.changes import Changes
from worker.dead_letters.filter import Filter
from worker.dead_letters.letter import DeadLetter
from worker.exits import Exit
from worker.fleet import reading
from worker.keys import Keys
from worker.redis.trouble import RedisTrouble
from worker.text import one_line, printable

#: How often the canaries' states are read.
CANARY_POLL_SECONDS: Final = 0.25
#: States of a job that has ended well; "": it is gone, because its result was not to be kept.
_WELL: Final = ("finished", "")
_BADLY: Final = ("failed", "stopped", "canceled")
#: How many ids a dry run shows.
_SHOWN_IDS: Final = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    job_ids: tuple[str, ...]
    chosen: Filter
    to: str
    fresh: bool
    limit: int | None
    canary: int
    canary_timeout: float


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
    plan = Plan(tuple(dict.fromkeys(job_ids)), chosen, to, fresh, limit, canary or 0, canary_timeout)
    changes = open_changes(described(job_ids, chosen))
    if to == changes.dead_letters.name:
        raise click.UsageError(f"{to} holds dead letters, and no consumer reads it. Name another queue with --to.")
    if dry_run:
        _report_dry_run(_meant(changes, plan), as_json=as_json)
        return
    with Stopping() as stopping:
        run = Replay(changes, plan, Throttle(rate, stopping.wait), stopping)
        run.go(quiet=as_json)
    run.report(as_json=as_json)
    sys.exit(run.exit_code)


class Replay:
    """One replay. `failed` holds the canaries that did not finish, with their states."""

    def __init__(self, changes: Changes, plan: Plan, throttle: Throttle, stopping: Stopping) -> None:
        self.failed: dict[str, str] = {}
        self.gone: list[str] = []  #: ids on the command line that are no dead letters
        self._changes = changes
        self._plan = plan
        self._stopping = stopping
        self._work = Batches(
            changes.dead_letters, plan.chosen, partial(changes.replay, to=plan.to, fresh=plan.fresh), throttle=throttle
        )
        self._letters = self._find()

    def go(self, *, quiet: bool) -> None:
        """Replay, with a progress bar on a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        try:
            with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
                task = bar.add_task("replaying", total=self._total())
                for step in self._steps():
                    bar.update(task, completed=self._work.tally.done, description=step)
        except RedisTrouble:
            done = self._work.tally.done
            click.echo(f"{done:,} replayed so far, perhaps a batch more. The same command goes on from here.", err=True)
            raise
        finally:
            log_done(self._changes, "replay", self._work.tally.done, to=self._plan.to or None)

    @property
    def exit_code(self) -> Exit:
        """Return the exit code. Letters that others took first matter only when the command line names their ids."""
        return Exit.FAILED if self.failed or self._work.tally.stopped or self.gone else Exit.OK

    def report(self, *, as_json: bool) -> None:
        """Print what was done."""
        tally = self._work.tally
        if as_json:
            done = {"replayed": tally.done, "gone": tally.gone, "stopped": tally.stopped}
            click.echo(json.dumps({**done, "canaries_failed": self.failed, "run": self._changes.run}))
            return
        click.echo(f"{tally.done:,} replayed.")
        for job_id in self.gone:
            click.echo(f"{printable(job_id)} {_GONE}", err=True)
        if tally.stopped:
            click.echo("Stopped. What was not replayed is as it was; the same command goes on from here.", err=True)
        if self.failed:
            for job_id, status in self.failed.items():
                click.echo(f"  canary {printable(job_id)}: {status}", err=True)
            click.echo(
                f"{len(self.failed)} of the canaries did not finish, so nothing more was replayed. Look at one: "
                f"python -m worker dead show {printable(next(iter(self.failed)))}",
                err=True,
            )

    def _find(self) -> list[DeadLetter] | None:
        """Return the letters that the command line names, unread; the script checks them. None: a filter chooses."""
        if not self._plan.job_ids:
            return None
        return [DeadLetter(job_id) for job_id in self._plan.job_ids]

    def _steps(self) -> Iterator[str]:
        plan, work = self._plan, self._work
        canaries: list[str] = []
        if plan.canary:
            work.limit = plan.canary if plan.limit is None else min(plan.canary, plan.limit)
            for went in self._replay_all():
                canaries += went
                yield "canaries"
            yield from self._await(canaries)
            if self.failed or work.tally.stopped:
                return
        work.limit = plan.limit
        for _ in self._replay_all():
            yield "replaying"

    def _replay_all(self) -> Iterator[list[str]]:
        if self._letters is None:
            yield from self._work.through_all()
            return
        before = self._work.tally.tried
        went_all: set[str] = set()
        for went in self._work.over(self._letters):
            went_all.update(went)
            yield went
        tried = self._letters[: self._work.tally.tried - before]
        self.gone += [letter.job_id for letter in tried if letter.job_id not in went_all]
        self._letters = self._letters[len(tried) :]

    def _await(self, canaries: list[str]) -> Iterator[str]:
        """Wait until every canary has ended; note those that did not finish."""
        dead_letters, deadline = self._changes.dead_letters, monotonic() + self._plan.canary_timeout
        self._warn_if_nobody_reads(canaries)
        while canaries:
            status = dict(zip(canaries, dead_letters.status(canaries), strict=True))
            self.failed = {job_id: state for job_id, state in status.items() if state in _BADLY}
            waiting = [job_id for job_id, state in status.items() if state not in (*_WELL, *_BADLY)]
            if not waiting:
                return
            if monotonic() >= deadline:
                self.failed |= {job_id: f"still {status[job_id]} after the timeout" for job_id in waiting}
                return
            yield f"waiting for {len(waiting)} canaries"
            if not self._stopping.wait(CANARY_POLL_SECONDS):
                self._work.tally.stopped = True
                return

    def _warn_if_nobody_reads(self, canaries: list[str]) -> None:
        dead_letters = self._changes.dead_letters
        keys = Keys(dead_letters.prefix)
        for origin in sorted(set(dead_letters.origins(canaries)) - {""}):
            if not reading.readers(dead_letters.redis, keys, origin):
                click.echo(f"No consumer reads the queue {one_line(origin)!r}; the canaries wait for one.", err=True)

    def _total(self) -> int | None:
        plan = self._plan
        if self._letters is not None:
            return len(self._letters)
        return plan.limit or (None if plan.chosen else self._changes.dead_letters.count())


_COLUMNS: Final = ("queue", "function", "reason", "count")
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
        print_table(_COLUMNS, rows)
    click.echo(f"{total:,} would be replayed. Nothing was changed.")
