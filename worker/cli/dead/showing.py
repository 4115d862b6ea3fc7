"""`dead show` and `dead audit`: everything about one letter, and who did what. Changes nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rq.job import Job

from worker.cli.dead.choosing import open_box
from worker.cli.dead.listing import date, error_of
from worker.cli.terminal import print_table
from worker.cli.tools import RedisCommand, settings_or_exit
from worker.dead_letters import changes
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine.dead_letter import NEXT_STEPS, REASONS
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.engine.serializers import Refused
from worker.exits import Exit
from worker.text import one_line, printable


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="ID")
@click.option("--arguments", is_flag=True, help="Show its arguments, too: they may hold what is nobody's business.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(job_id: str, arguments: bool, as_json: bool) -> None:
    """Show one dead letter: why it failed, its traceback, what happened before, and what to do next."""
    box = open_box()
    letters = box.letters([job_id])
    if not letters:
        click.echo(_not_there(box, job_id), err=True)
        sys.exit(Exit.FAILED)
    call = _call(box, job_id) if arguments else {}
    if as_json:
        click.echo(json.dumps({**letters[0].as_dict(), **call}, indent=2, default=_repr))
        return
    _print(letters[0], call)


@click.command(cls=RedisCommand)
@click.option("--limit", default=1000, show_default=True, help="How many batches to look at, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the ids.")
def audit(limit: int, as_json: bool) -> None:
    """Show who replayed, edited, deleted or imported dead letters."""
    lines = changes.audit(open_box(), limit)
    if as_json:
        for line in lines:
            click.echo(json.dumps({**line, "count": int(line["count"]), "ids": line["ids"].split()}))
        return
    if not lines:
        click.echo("Nobody has changed a dead letter yet.")
        return
    print_table(("at", "who", "action", "count", "run", "which", "first id"), map(_audit_row, _by_run(lines)))


def read_payload(box: DeadLetterQueue, job_id: str) -> tuple[Job, bytes]:
    """Read a letter's call through the service's own gates, and its payload's bytes; raises `Refused`."""
    settings = settings_or_exit()
    fields: dict[bytes, bytes] = box.redis.hgetall(f"{box.prefix}:job:{job_id}")  # type: ignore[assignment]
    origin = fields.get(b"origin", b"").decode(errors="replace")
    payloads = Payloads(settings.worker_job_modules, settings.worker_serializers)
    return payloads.restore(Claim(job_id, "", origin, origin, fields), box.redis), fields[b"data"]


def _call(box: DeadLetterQueue, job_id: str) -> dict[str, Any]:
    try:
        job, _ = read_payload(box, job_id)
    except Refused as refused:
        return {"arguments_unreadable": str(refused)}
    return {"args": list(job._args), "kwargs": job._kwargs}


def _not_there(box: DeadLetterQueue, job_id: str) -> str:
    status = box.status([job_id])[0]
    if not status:
        return f"There is no job {job_id}: it was deleted or has expired."
    return f"The job {job_id} is no dead letter: its status is {status}."


def _print(letter: DeadLetter, call: dict[str, Any]) -> None:
    record = letter.record
    for name, value in (
        ("id", letter.job_id),
        ("queue", letter.origin),
        ("function", record.get("function", "")),
        ("arguments", _shown(call)),
        ("reason", f"{letter.reason}: {REASONS.get(letter.reason, 'nobody wrote down why')}"),
        ("error", f"{record.get('exception', '')} {record.get('message', '')}".strip()),
        ("attempts", record.get("attempts", "")),
        ("first failed", record.get("first_failed_at", "")),
        ("last failed", letter.ended_at or record.get("at", "")),
        ("worker", record.get("worker", "")),
        ("release", record.get("release", "")),
        ("fingerprint", record.get("fingerprint", "")),
    ):
        if value not in ("", None):
            click.echo(f"{name:12} {printable(value)}")
    if record.get("traceback"):
        click.echo(f"\n{printable(record['traceback'])}")
    history = [entry for entry in record.get("history") or [] if isinstance(entry, dict)]
    if history:
        click.echo("It was a dead letter before:")
        for entry in history:
            earlier = DeadLetter(letter.job_id, written=json.dumps(entry).encode())
            click.echo(
                f"  {one_line(entry.get('at', ''))}  {one_line(earlier.reason)}  {error_of(earlier)}"
                f"  (attempts {one_line(entry.get('attempts', '?'))})"
            )
        click.echo()
    hint = NEXT_STEPS.get(letter.reason)
    if hint:
        click.echo(f"Hint: {hint}.")
    click.echo(f"Next: python -m worker dead replay {printable(letter.job_id)}")


def _shown(call: dict[str, Any]) -> str:
    if "arguments_unreadable" in call:
        return f"cannot be read: {call['arguments_unreadable']}"
    if not call:
        return ""
    named = [f"{name}={_repr(value)}" for name, value in call["kwargs"].items()]
    return f"({', '.join([*map(_repr, call['args']), *named])})"


def _repr(value: object) -> str:
    """Return a value as it is written, or its type's name if the job's own class does not know how."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 — a class of the job packages may raise anything here
        return f"<{type(value).__name__}>"


def _by_run(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put together what one command did in many batches; `lines` come newest first."""
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


def _audit_row(line: dict[str, str]) -> tuple[object, ...]:
    ids = line["ids"].split()
    return (
        date(int(line["at"]) / 1000),
        line["who"],
        line["action"],
        line["count"],
        line["run"],
        line["note"],
        ids[0] if ids else "",
    )


COMMANDS = {"show": show, "audit": audit}
