"""`dead edit`: give a dead letter other arguments before it is replayed, and be able to undo it."""

from __future__ import annotations

import json
import sys
import zlib
from typing import Any

import click
from redis import Redis
from rq.job import Job

from worker.cli.dead.choosing import log_done, open_actions
from worker.cli.dead.showing import read_payload
from worker.cli.tools import RedisCommand
from worker.dead_letters.changes import Changes
from worker.engine.serializers import Json, Refused
from worker.exits import Exit
from worker.text import printable


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="ID")
@click.option("--args", "args", metavar="JSON", help="New positional arguments: a JSON list.")
@click.option("--kwargs", "kwargs", metavar="JSON", help="New keyword arguments: a JSON object.")
@click.option("--function", "function", metavar="NAME", help="New function; its dotted name.")
@click.option("--undo", is_flag=True, help="Bring back the payload that the job had before its first edit.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was done.")
def edit(job_id: str, args: str | None, kwargs: str | None, function: str | None, undo: bool, as_json: bool) -> None:
    """Change the payload of one dead letter; what is not given stays as it is. Replay it afterwards.

    The first payload is kept with the job. A payload that cannot be read is replaced with --function, --args and
    --kwargs together.
    """
    if undo == any(value is not None for value in (args, kwargs, function)):
        raise click.UsageError("Give --args, --kwargs or --function, or --undo alone.")
    new_args, new_kwargs = _json("--args", args, list), _json("--kwargs", kwargs, dict)
    given = {"args": args, "kwargs": kwargs, "function": function}
    changed = [name for name, value in given.items() if value is not None]
    actions = open_actions("undo" if undo else ", ".join(changed))
    seen: bytes | None = actions.dead_letters.redis.hget(f"{actions.dead_letters.prefix}:job:{job_id}", "data")  # type: ignore[assignment]
    if undo:
        trouble = actions.undo(job_id, seen or b"")
    else:
        payload, description = _rewritten(actions, job_id, function, new_args, new_kwargs)
        trouble = actions.edit(job_id, seen or b"", payload, description)
    if trouble:
        click.echo(f"{printable(job_id)} was not changed: {trouble}.", err=True)
        sys.exit(Exit.FAILED)
    log_done(actions, "undo" if undo else "edit", 1, job_id=job_id)
    if as_json:
        click.echo(json.dumps({"id": job_id, "edited": not undo, "changed": changed, "run": actions.run}))
        return
    click.echo("The first payload is back." if undo else f"Changed: {', '.join(changed)}. Undo it with --undo.")
    click.echo(f"Next: python -m worker dead replay {printable(job_id)}")


def _rewritten(
    actions: Changes, job_id: str, function: str | None, args: list[Any] | None, kwargs: dict[str, Any] | None
) -> tuple[bytes, str]:
    """Return the new payload as RQ stores it, and its description."""
    try:
        job, _ = read_payload(actions.dead_letters, job_id)
    except Refused as refused:
        if function is None or args is None or kwargs is None:
            click.echo(
                f"{refused} To replace it, give --function, --args and --kwargs together.",
                err=True,
            )
            sys.exit(Exit.FAILED)
        job = Job(job_id, connection=Redis(), serializer=Json())
        job._instance = None
    name = function if function is not None else job._func_name
    instance = job._instance if function is None else None
    new_args = args if args is not None else list(job._args)
    new_kwargs = kwargs if kwargs is not None else job._kwargs
    call = (name, instance, tuple(new_args), new_kwargs)
    try:
        data = job.serializer.dumps(call)
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"The payload cannot be written: {error}") from error
    shown = ", ".join([*map(repr, new_args), *(f"{key}={value!r}" for key, value in new_kwargs.items())])
    return zlib.compress(data), f"{name}({shown})"


def _json(option: str, text: str | None, kind: type) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise click.UsageError(f"{option} wants a JSON {'list, like [1, true]' if kind is list else 'object'}.")
    return value


COMMANDS = {"edit": edit}
