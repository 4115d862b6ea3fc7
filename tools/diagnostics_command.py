"""The command line of the diagnosis."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

import click

from tools.environment import SOURCES, url_of
from tools.watch import watch
from worker.diagnosis.course import PRIMARY, STEPS, diagnose
from worker.diagnosis.markdown import markdown
from worker.diagnosis.report import Report
from worker.diagnosis.start import TIMEOUT_SECONDS, case_of
from worker.diagnosis.text import Printer

_CODES: Final = ", ".join(f"{step.code} {step.name}" for step in (*STEPS, PRIMARY))


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: 0 good (warnings too), 2 wrong command line, else the first step that failed: {_CODES}.",
)
@click.option(
    "--url", help=f"The URL to diagnose instead of {SOURCES}. Others on this machine may see it in the process list."
)
@click.option(
    "--timeout",
    default=TIMEOUT_SECONDS,
    show_default=True,
    type=click.FloatRange(min=0.1, max=300),
    help="Seconds that a step may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; --json-schema prints its schema.")
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of --json and end.")
@click.option(
    "--markdown", "as_markdown", is_flag=True, help="A table to paste into an issue, without host and addresses."
)
@click.option("--verbose", "-v", is_flag=True, help="Show what is good, too.")
@click.option(
    "--watch", "watching", is_flag=True, help="Keep probing and report every change; Ctrl-C ends with a summary."
)
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0.05, max=3600),
    help="Seconds between two probes of --watch.",
)
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="End --watch after this many seconds.")
def main(
    url: str | None,
    timeout: float,
    as_json: bool,
    json_schema: bool,
    as_markdown: bool,
    verbose: bool,
    watching: bool,
    interval: float,
    seconds: float | None,
) -> None:
    """Find out step by step what is wrong with Redis, and explain it.

    The URL comes from REDIS_URL, or from .env. The diagnosis changes nothing on the server but keys under
    RQ-PREFIX:diagnosis:, which it deletes at once and which expire after a minute. No secret is printed.
    """
    if json_schema:
        click.echo(json.dumps(Report.model_json_schema(), indent=2))
        return
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown exclude each other.")
    found, source = url_of(url)
    case = case_of(os.environ, found, timeout=timeout)
    if watching:
        sys.exit(watch(case, interval=interval, seconds=seconds, as_json=as_json))
    printer = Printer(verbose=verbose)
    quiet = as_json or as_markdown
    report = diagnose(case, source=source, on_step=None if quiet else printer.step)
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    elif as_markdown:
        click.echo(markdown(report))
    else:
        printer.end(report)
    sys.exit(report.exit_code)
