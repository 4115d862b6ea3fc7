"""The command line: `python -m worker COMMAND`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import ClassVar

import click

from worker import logs
from worker.cli.tools import settings_or_exit
from worker.settings.load import load_dotenv

log = logs.get_logger()


class _Later(click.Group):
    """A group whose commands are imported when they are called: --help is quick, and the service does not pay."""

    modules: ClassVar = {
        "check": "worker.cli.check",
        "dead": "worker.cli.dead.command",
        "develop": "worker.cli.develop",
        "enqueue": "worker.cli.enqueue",
        "migrate": "worker.cli.migration.command",
        "monitor": "worker.cli.monitor",
        "status": "worker.cli.status",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        return sorted([*super().list_commands(ctx), *self.modules])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name in self.modules:
            command: click.Command = getattr(import_module(self.modules[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Later, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """WorthIt! worker: runs RQ jobs and never loses one. Without a command it runs the service."""
    load_dotenv()
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
def run() -> None:
    """Run the service: supervisor, consumers, dispatcher, health endpoint."""
    from worker.cli.serve import serve

    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(serve(settings))
