"""`dead edit`: change the payload of a dead letter before it is replayed, and undo that."""

from __future__ import annotations

import json
import sys
import zlib
from typing import Any

import click

from worker.cli.common import RedisCommand
from worker.cli.dead.choosing import log_done, open_changes, whole_ids
from worker.cli.dead.payload import read_payload
from worker.dead_letters.changes import Changes
from worker.engine import rq_private
from worker.engine.serializers import Json, Refused
from worker.exits import Exit
from worker.keys import Keys
from worker.text import not_json, printable


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="ID")
@click.option("--args", "args", metavar="JSON", help="New positional arguments: a JSON list.")
@click.option("--kwargs", "kwargs", metavar="JSON", help="New keyword arguments: a JSON object.")
@click.option("--function", "function", metavar="NAME", help="New function; its dotted name.")
@click.option("--undo", is_flag=True, help="Restore the payload that the job had before its first edit.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON what was done.")
def edit(job_id: str, args: str | None, kwargs: str | None, function: str | None, undo: bool, as_json: bool) -> None:
    """Change the payload of one dead letter; parts that are not given stay the same. Replay it afterwards.

    The first payload is kept with the job. A payload that cannot be read is replaced with --function, --args and
    --kwargs together.
    """
    if undo == any(value is not None for value in (args, kwargs, function)):
        raise click.UsageError("Give --args, --kwargs or --function, or --undo alone.")
    new_args, new_kwargs = _json("--args", args, list), _json("--kwargs", kwargs, dict)
    given = {"args": args, "kwargs": kwargs, "function": function}
    changed = [name for name, value in given.items() if value is not None]
    changes = open_changes("undo" if undo else ", ".join(changed))
    (job_id,) = whole_ids(changes.dead_letters, [job_id])
    key = Keys(changes.dead_letters.prefix).job(job_id)
    seen: bytes | None = changes.dead_letters.redis.hget(key, "data")  # type: ignore[assignment]
    if undo:
        trouble = changes.undo(job_id, seen or b"")
    else:
        payload, description = _rewritten(changes, job_id, function, new_args, new_kwargs)
        trouble = changes.edit(job_id, seen or b"", payload, description)
    if trouble:
        click.echo(f"{printable(job_id)} was not changed: {trouble}.", err=True)
        sys.exit(Exit.FAILED)
    log_done(changes, "undo" if undo else "edit", 1, job_id=job_id)
    if as_json:
        click.echo(json.dumps({"id": job_id, "edited": not undo, "changed": changed, "run": changes.run}))
        return
    click.echo("The first payload is back." if undo else f"Changed: {', '.join(changed)}. Undo it with --undo.")
    if changes.dead_letters.journal(job_id):
        click.echo("Its steps keep what they returned before the edit; replay it with --fresh to call them again.")
    click.echo(f"Next: python -m worker dead replay {printable(job_id)}")


def _rewritten(
    changes: Changes, job_id: str, function: str | None, args: list[Any] | None, kwargs: dict[str, Any] | None
) -> tuple[bytes, str]:
    """Return the new payload as RQ stores it, and its description."""
    serializer: Any = Json()
    name, instance = function, None
    try:
        job = read_payload(changes.dead_letters, job_id)
    except Refused as refused:
        if function is None or args is None or kwargs is None:
            click.echo(f"{refused} To replace it, give --function, --args and --kwargs together.", err=True)
            sys.exit(Exit.FAILED)
    else:
        serializer = job.serializer
        if function is None:
            name, instance = rq_private.function_name(job), rq_private.instance(job)
        old_args, old_kwargs = rq_private.arguments(job)
        args = args if args is not None else list(old_args)
        kwargs = kwargs if kwargs is not None else old_kwargs
    try:
        data = serializer.dumps((name, instance, tuple(args), kwargs))
        if isinstance(serializer, Json):  # where null would be written for it, the job would get another argument
            json.dumps([args, kwargs], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"The payload cannot be written: {error}") from error
    shown = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    return zlib.compress(data), f"{name}({shown})"


def _json(option: str, text: str | None, kind: type) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=not_json)
    except ValueError as error:
        raise click.UsageError(f"{option} is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise click.UsageError(f"{option} must be a JSON {'list, like [1, true]' if kind is list else 'object'}.")
    return value
