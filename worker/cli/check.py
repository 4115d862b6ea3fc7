"""`python -m worker check`: is this environment good enough to deploy?"""

from __future__ import annotations

import os
import sys

import click

from worker.cli.common import settings_or_exit
from worker.consumer import lifecycle
from worker.diagnosis.course import UNREACHED, diagnose
from worker.diagnosis.start import TIMEOUT_SECONDS, case_of
from worker.diagnosis.text import Printer
from worker.dispatcher import cron_file
from worker.engine import job_modules, pickle_names
from worker.exits import Exit
from worker.settings import Settings
from worker.text import counted


@click.command()
@click.option(
    "--timeout",
    default=TIMEOUT_SECONDS,
    show_default=True,
    type=click.FloatRange(min=0.1, max=300),
    help="Seconds that a step of the diagnosis may take.",
)
def check(timeout: float) -> None:
    """Check the settings, then diagnose Redis step by step, and explain what is wrong.

    `python tools/redis_diagnostics.py` runs the same steps, and can print them as JSON or Markdown, too.
    """
    settings = settings_or_exit()
    click.echo("Settings: good.")
    click.echo(
        f"  queues {', '.join(settings.worker_queues)} · {settings.worker_processes} consumers × "
        f"{settings.worker_threads} threads · isolation {settings.worker_isolation} · "
        f"jobs from {', '.join(settings.worker_job_modules)} · "
        f"health port {settings.health_port or 'off'}"
    )
    _check_job_modules(settings)
    _check_schedule(settings)
    _check_pickle_classes(settings)
    click.echo("Redis:")
    printer = Printer()
    report = diagnose(case_of(os.environ, _url(settings), timeout=timeout), on_step=printer.step)
    printer.end(report)
    if report.exit_code:
        click.echo(f"Redis: {report.conclusion}", err=True)
        sys.exit(Exit.REDIS if report.exit_code in UNREACHED else Exit.FAILED)


def _url(settings: Settings) -> str:
    return settings.redis_url.get_secret_value() if settings.redis_url is not None else ""


def _check_job_modules(settings: Settings) -> None:
    """Import them as the service does, and name what they open: see `job_modules`."""
    try:
        opened = job_modules.import_all(settings.worker_job_modules)
        lifecycle.load(settings.worker_job_modules)
    except (job_modules.BadJobModule, lifecycle.LifecycleError) as error:
        click.echo(str(error), err=True)
        sys.exit(Exit.FAILED)
    if settings.worker_preload == "false":
        return
    for module, things in opened.items():
        click.echo(f"! {module} opens {' and '.join(things)} while it is imported.")
    if opened:
        click.echo(f"  {job_modules.effect(settings.worker_preload)} {job_modules.FIX}")


def _check_pickle_classes(settings: Settings) -> None:
    problems = list(filter(None, map(pickle_names.problem, settings.worker_pickle_classes)))
    for problem in problems:
        click.echo(f"WORKER_PICKLE_CLASSES: {problem}", err=True)
    if problems:
        sys.exit(Exit.FAILED)


def _check_schedule(settings: Settings) -> None:
    try:
        schedule = cron_file.load(settings)
    except cron_file.ScheduleError as error:
        click.echo(f"Schedule: {error}", err=True)
        sys.exit(Exit.FAILED)
    lines = f"{counted(len(schedule), 'line')}, good" if schedule else "none"
    click.echo(f"Schedule: {lines}.")
    for queue in cron_file.foreign_queues(schedule, settings):
        click.echo(f"! The schedule puts jobs on {queue!r}, which is not in WORKER_QUEUES.")
