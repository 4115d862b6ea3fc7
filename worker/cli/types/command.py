"""`python -m worker types`: what the functions of the job modules take and return, for producers' editors."""

from __future__ import annotations

import sys

import click

from worker.cli.common import settings_or_exit
from worker.cli.types.functions import functions_of
from worker.cli.types.writers import PythonWriter, TypeScriptWriter
from worker.engine.job_modules import BadJobModule


@click.command()
@click.option("--python", is_flag=True, help="Write a module for the package worthit-producer instead of TypeScript.")
def types(python: bool) -> None:
    """Write types of the job functions, so that calls are checked: python -m worker types > jobs.d.ts.

    Taken are public functions of WORKER_JOB_MODULES whose arguments and results are annotated with what JSON can
    carry; the others are named on stderr. Redis is not asked.
    """
    try:
        functions, left_out = functions_of(settings_or_exit(need_redis_url=False).worker_job_modules)
    except BadJobModule as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit)
    for name, why in left_out.items():
        click.echo(f"left out: {name}: {why}", err=True)
    if not functions:
        click.echo("No function of these modules can be called with JSON and is annotated.", err=True)
        sys.exit(1)
    click.echo((PythonWriter() if python else TypeScriptWriter()).written(functions), nl=False)
