"""`dead show`: everything about one dead letter. Changes nothing."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import open_dead_letters, whole_ids
from worker.cli.dead.payload import read_payload
from worker.cli.dead.shown import error_of
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine import job_logs
from worker.engine.dead_letter import NEXT_STEPS, REASONS
from worker.engine.rq_private import arguments as arguments_of
from worker.engine.serializers import Refused
from worker.exits import Exit
from worker.job_log import JobLog
from worker.journal import CURSOR, STEP, Entry
from worker.text import bounded, counted, json_text, one_line, printable

#: Characters that are shown of one line, and of a traceback: more than any that people write.
_LINE_CHARACTERS: Final = 2_000
_TRACEBACK_CHARACTERS: Final = 50_000
#: How many of its last steps are shown, and as JSON.
_STEPS: Final = 5
_JSON_STEPS: Final = 1000
#: How many of the last lines that it has said.
_LINES: Final = 20


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="ID")
@click.option("--arguments", is_flag=True, help="Show its arguments, too; they may hold private data.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(job_id: str, arguments: bool, as_json: bool) -> None:
    """Show one dead letter: why it failed, its traceback, what happened before, and what to do next."""
    dead_letters = open_dead_letters()
    (job_id,) = whole_ids(dead_letters, [job_id])
    letters = dead_letters.letters([job_id])
    if not letters:
        click.echo(_not_there(dead_letters, job_id), err=True)
        sys.exit(Exit.FAILED)
    call = _call(dead_letters, job_id) if arguments else {}
    kept = dead_letters.journal(job_id)
    _, said = job_logs.read(dead_letters.redis, dead_letters.keys, job_id)
    if as_json:
        stands = {"kept": _kept(kept, results=arguments)} if kept else {}
        log = {"log": said.as_list()} if said.lines else {}
        click.echo(json_text({**letters[0].as_dict(), **stands, **log, **call}, indent=2, default=_repr))
        return
    _print(letters[0], call, kept, said)


def _kept(entries: list[Entry], *, results: bool) -> dict[str, Any]:
    """Return what `--json` shows of a journal; results may hold private data, as arguments may."""
    steps = [entry for entry in entries if entry.kind == STEP]
    shown = [
        {"name": step.name, "at": step.at, **({"result": _parsed(step.text)} if results else {})}
        for step in steps[-_JSON_STEPS:]
    ]
    return {"steps": len(steps), "last_steps": shown, "cursors": {c.name: _parsed(c.text) for c in _cursors(entries)}}


def _cursors(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.kind == CURSOR]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # somebody has written there


def _steps(entries: list[Entry]) -> str:
    names = [repr(entry.name) for entry in entries if entry.kind == STEP]
    last = ", ".join(names[-_STEPS:])
    return f"{len(names):,} kept{', the last ones' if len(names) > _STEPS else ''}: {last}" if names else ""


def _positions(entries: list[Entry]) -> str:
    shown = [f"{entry.name} at {bounded(entry.text, 200)}" for entry in _cursors(entries)]
    more = f"; {len(shown) - _STEPS:,} more" if len(shown) > _STEPS else ""
    return "; ".join(shown[:_STEPS]) + more


def _call(dead_letters: DeadLetterQueue, job_id: str) -> dict[str, Any]:
    try:
        job = read_payload(dead_letters, job_id)
    except Refused as refused:
        return {"arguments_unreadable": str(refused)}
    positional, named = arguments_of(job)
    return {"args": list(positional), "kwargs": named}


def _not_there(dead_letters: DeadLetterQueue, job_id: str) -> str:
    status = dead_letters.status([job_id])[0]
    if not status:
        return f"There is no job {job_id}: it was deleted or has expired."
    return f"The job {job_id} is no dead letter: its status is {one_line(status)[:100]}."


def _print(letter: DeadLetter, call: dict[str, Any], kept: list[Entry], said: JobLog) -> None:
    record = letter.record
    for name, value in (
        ("id", letter.job_id),
        ("queue", letter.origin),
        ("function", record.get("function", "")),
        ("arguments", _shown(call)),
        ("reason", f"{letter.reason}: {REASONS.get(letter.reason, 'nobody recorded why')}"),
        ("error", f"{record.get('exception', '')} {record.get('message', '')}".strip()),
        ("attempts", record.get("attempts", "")),
        ("steps", _steps(kept)),
        ("cursors", _positions(kept)),
        ("first failed", record.get("first_failed_at", "")),
        ("last failed", letter.ended_at or record.get("at", "")),
        ("worker", record.get("worker", "")),
        ("release", record.get("release", "")),
        ("fingerprint", record.get("fingerprint", "")),
    ):
        if value not in ("", None):
            click.echo(f"{name:12} {printable(bounded(str(value), _LINE_CHARACTERS))}")
    if record.get("traceback"):
        click.echo(f"\n{printable(bounded(str(record['traceback']), _TRACEBACK_CHARACTERS))}")
    _print_log(letter, said)
    _print_history(letter)
    hint = NEXT_STEPS.get(letter.reason)
    if hint:
        click.echo(f"Hint: {hint}.")
    begins = " (it goes on from there; from the beginning with --fresh)" if kept else ""
    click.echo(f"Next: python -m worker dead replay {printable(letter.job_id)}{begins}")


def _print_log(letter: DeadLetter, said: JobLog) -> None:
    if not said.lines:
        return
    before = said.left_out + max(0, len(said.lines) - _LINES)
    more = f", after {counted(before, 'line')}: python -m worker log {printable(letter.job_id)}" if before else ""
    click.echo(f"What it said last{more}")
    for line in said.lines[-_LINES:]:
        click.echo(f"  {job_logs.words(line)}")
    click.echo()


def _print_history(letter: DeadLetter) -> None:
    history = [entry for entry in letter.record.get("history") or [] if isinstance(entry, dict)]
    if not history:
        return
    click.echo("It was a dead letter before:")
    for entry in history:
        earlier = DeadLetter(letter.job_id, written=json.dumps(entry).encode())
        click.echo(
            f"  {one_line(entry.get('at', ''))}  {one_line(earlier.reason)}  {error_of(earlier)}"
            f"  (attempts {one_line(entry.get('attempts', '?'))})"
        )
    click.echo()


def _shown(call: dict[str, Any]) -> str:
    if "arguments_unreadable" in call:
        return f"cannot be read: {call['arguments_unreadable']}"
    if not call:
        return ""
    named = [f"{name}={_repr(value)}" for name, value in call["kwargs"].items()]
    return f"({', '.join([*map(_repr, call['args']), *named])})"


def _repr(value: object) -> str:
    """Return the repr of a value, or its type's name if the job's own class cannot make one."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 — a class of the job packages may raise anything here
        return f"<{type(value).__name__}>"
