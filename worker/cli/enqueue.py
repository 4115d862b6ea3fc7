"""`python -m worker enqueue`: put a job on a queue and, with --wait, show its result."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus

from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.engine.dead_letter import read
from worker.exits import Exit
from worker.fleet import reading
from worker.keys import Keys
from worker.redis.trouble import RedisTrouble
from worker.text import json_text, not_json, one_line, printable

#: How often --wait reads the job.
POLL_SECONDS: Final = 0.1
#: The same while Redis is away.
OUTAGE_POLL_SECONDS: Final = 1.0
_ENDED: Final = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)


@click.command(cls=RedisCommand)
@click.argument("function")
@click.argument("arguments", nargs=-1)
@click.option("--queue", "queue_name", help="The queue; the first of WORKER_QUEUES by default.")
@click.option("--kwargs", default="{}", metavar="JSON", help="Keyword arguments as a JSON object.")
@click.option("--job-id", help="Letters, digits, - and _, not in use; random by default.")
@click.option("--timeout", type=int, help="Seconds that the job may run; RQ's default is 180.")
@click.option("--wait", is_flag=True, help="Show its progress and print what it returns.")
@click.option("--json", is_flag=True, expose_value=False, help="Print the result as JSON, which it does anyway.")
def enqueue(
    function: str,
    arguments: tuple[str, ...],
    queue_name: str | None,
    kwargs: str,
    job_id: str | None,
    timeout: int | None,
    wait: bool,
) -> None:
    """Enqueue FUNCTION with ARGUMENTS, for example:

    python -m worker enqueue jobs.invoices.send_invoice 7 --wait

    An argument that is JSON (3, true, "3", [1]) is passed as such, anything else as text.
    """
    settings = settings_or_exit()
    if not any(function.startswith(f"{package}.") for package in settings.worker_job_modules):
        packages = ", ".join(settings.worker_job_modules)
        click.echo(
            f"{function} is not in a package of WORKER_JOB_MODULES ({packages}), so no worker would run it.", err=True
        )
        sys.exit(Exit.USAGE)
    named = _json(kwargs)
    if not isinstance(named, dict):
        raise click.UsageError("--kwargs must be a JSON object, like '{\"fresh\": true}'.")
    if queue_name == settings.dead_letter_queue:
        raise click.UsageError(f"{queue_name} holds dead letters, and no consumer reads it. Name another --queue.")
    queue = Queue(queue_name or settings.worker_queues[0], connection=connect(settings), serializer="json")
    try:
        job = queue.enqueue(
            function,
            args=tuple(map(_json, arguments)),
            kwargs=named,
            job_id=job_id,
            job_timeout=timeout,
            unique=job_id is not None,  # otherwise RQ overwrites a job of that id, even a running one
        )
    except DuplicateJobError:
        raise click.UsageError(
            f"There is a job {job_id} already. Use another --job-id, or if it failed: python -m worker dead replay "
            f"{job_id}"
        ) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not wait:
        click.echo(job.id)
        return
    sys.exit(_follow(job))


def follow(job: Job, console: Console) -> Job:
    """Show a job's progress until it has ended; returns it refreshed. Waits while Redis is away.

    Raises rq's `NoSuchJobError` when the job is deleted meanwhile.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("waiting for a consumer", total=100)
        for percent, text in steps(job):
            progress.update(task, completed=percent, description=text)
    return job


def steps(job: Job) -> Iterator[tuple[float | None, str]]:
    """Yield a job's progress (percent, None if there is none; a text) until it has ended; refreshes it.

    Waits while Redis is away. Raises rq's `NoSuchJobError` when the job is deleted meanwhile.
    """
    while True:
        try:
            job.refresh()
        except RedisTrouble as trouble:
            yield None, f"{trouble.trouble.sentence} Waiting for it …"
            time.sleep(OUTAGE_POLL_SECONDS)
            continue
        status = job.get_status(refresh=False)
        shown = job.meta.get("progress") or {}
        yield shown.get("percent"), one_line(shown.get("message") or status.value)
        if status in _ENDED:
            return
        time.sleep(POLL_SECONDS)


def outcome(job: Job) -> str:
    """Return a sentence on why a job that has ended did not finish."""
    letter = read(job.connection.hget(job.key, "dead_letter"))
    error = f"{letter.get('exception', '')} {letter.get('message', '')}".strip()
    return printable(f"The job {job.get_status(refresh=False).value} ({letter.get('reason', 'no record')}): {error}")


def _follow(job: Job) -> Exit:
    try:
        if not reading.readers(job.connection, Keys(RQ_KEY_PREFIX), job.origin):
            click.echo(f"No consumer reads the queue {job.origin!r} yet; the job waits for one.", err=True)
        job = follow(job, Console(stderr=True))
    except KeyboardInterrupt:
        click.echo(f"\nNo longer waiting; the job {job.id} goes on without this command.", err=True)
        return Exit.FAILED
    except NoSuchJobError:
        click.echo("The job is gone: it was deleted, or its result_ttl is 0.", err=True)
        return Exit.FAILED
    if job.get_status(refresh=False) != JobStatus.FINISHED:
        click.echo(outcome(job), err=True)
        return Exit.FAILED
    click.echo(json_text(job.return_value(), indent=2, default=repr))
    return Exit.OK


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    try:
        json.loads(text, parse_constant=not_json)
    except ValueError as error:
        raise click.UsageError(f"An argument cannot be sent as JSON: {error}.") from error
    return value
