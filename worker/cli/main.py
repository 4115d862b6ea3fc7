"""The command line: `python -m worker COMMAND`."""

from __future__ import annotations

import sys

import click

from worker import logs
from worker.cli.common import LazyGroup, settings_or_exit
from worker.settings.load import load_dotenv

log = logs.get_logger()


@click.group(
    cls=LazyGroup,
    lazy={
        "check": "worker.cli.check:check",
        "dead": "worker.cli.dead.command:dead",
        "develop": "worker.cli.develop:develop",
        "enqueue": "worker.cli.enqueue:enqueue",
        "log": "worker.cli.log:log",
        "migrate": "worker.cli.migration.command:migrate",
        "monitor": "worker.cli.monitor:monitor",
        "pause": "worker.cli.pause:pause",
        "resume": "worker.cli.pause:resume",
        "stats": "worker.cli.stats:stats",
        "status": "worker.cli.status:status",
        "stop": "worker.cli.stop:stop",
        "types": "worker.cli.types.command:types",
    },
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def main(context: click.Context) -> None:
    """WorthIt! worker: runs RQ jobs and never loses one. Without a command it runs the service."""
    load_dotenv(serves=context.invoked_subcommand in (None, "run", "monitor"))
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
def run() -> None:
    """Run the service: supervisor, consumers, dispatcher, health endpoint."""
    from worker.cli.serve import serve

    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(serve(settings))
