"""`python -m worker dead`: dead letters on the command line."""

from __future__ import annotations

import json
import sys
from itertools import islice

import click
from rq.defaults import RQ_KEY_PREFIX

from worker.cli_tools import RedisGroup, connect, settings_or_exit
from worker.dead_letters import REASONS
from worker.exits import Exit
from worker.letter_box import Letter, LetterBox
from worker.terminal import one_line, print_table, printable


@click.group(cls=RedisGroup)
def dead() -> None:
    """Look at dead letters and replay them.

    They are ordinary failed RQ jobs: `rq info` counts them and `rq requeue` replays them too.
    """


@dead.command("list")
@click.option("--limit", default=50, show_default=True, help="How many to show, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    box = _box()
    letters = list(islice(box, limit))
    if as_json:
        for letter in letters:
            click.echo(json.dumps(letter.as_dict()))
        return
    total = box.count()
    if not total:
        click.echo("No dead letters.")
        return
    print_table(("id", "queue", "function", "reason", "error", "attempts", "at"), map(_row, letters))
    click.echo(f"{len(letters)} of {total} shown. Next: python -m worker dead show ID")


@dead.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(job_id: str, as_json: bool) -> None:
    """Show one dead letter with its traceback. Argument values are never shown."""
    letters = _box().letters([job_id])
    if not letters:
        click.echo(f"There is no job {job_id}: it was deleted or has expired.", err=True)
        sys.exit(Exit.FAILED)
    letter = letters[0]
    if as_json:
        click.echo(json.dumps(letter.as_dict(), indent=2))
        return
    _print(letter)


@dead.command()
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Replay every dead letter.")
def replay(job_ids: tuple[str, ...], everything: bool) -> None:
    """Put dead letters back on their queues; each is replayed once, whoever else replays."""
    if bool(job_ids) == everything:
        raise click.UsageError("Name the ids to replay, or --all.")
    box = _box()
    wanted = [letter.job_id for letter in box] if everything else list(job_ids)
    gone = [job_id for job_id in wanted if not box.replay(job_id)]
    click.echo(f"{len(wanted) - len(gone)} replayed.")
    for job_id in gone:
        click.echo(f"{job_id} is no dead letter any more: it was replayed or deleted, or it never was one.", err=True)
    sys.exit(Exit.FAILED if gone and not everything else Exit.OK)


def _box() -> LetterBox:
    settings = settings_or_exit()
    return LetterBox(connect(settings), RQ_KEY_PREFIX, settings.dead_letter_queue)


def _row(letter: Letter) -> tuple[object, ...]:
    record = letter.record
    return (
        letter.job_id,
        letter.origin,
        record.get("function", ""),
        record.get("reason", "unknown"),
        one_line(_error(letter))[:80],
        record.get("attempts", ""),
        letter.ended_at[:19],
    )


def _error(letter: Letter) -> str:
    return f"{letter.record.get('exception', '')} {letter.record.get('message', '')}".strip()


def _print(letter: Letter) -> None:
    record = letter.record
    reason = record.get("reason", "unknown")
    for name, value in (
        ("id", letter.job_id),
        ("queue", letter.origin),
        ("function", record.get("function", "")),
        ("reason", f"{reason}: {REASONS.get(reason, 'it was failed by somebody else')}"),
        ("error", _error(letter)),
        ("attempts", record.get("attempts", "")),
        ("at", letter.ended_at),
        ("worker", record.get("worker", "")),
        ("release", record.get("release", "")),
        ("fingerprint", record.get("fingerprint", "")),
    ):
        if value not in ("", None):
            click.echo(f"{name:12} {printable(value)}")
    if record.get("traceback"):
        click.echo(f"\n{printable(record['traceback'])}")
    click.echo(f"Next: python -m worker dead replay {printable(letter.job_id)}")
