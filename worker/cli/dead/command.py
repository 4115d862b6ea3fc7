"""`python -m worker dead`: dead letters on the command line. Its commands are in ``worker/dead/``."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import click

from worker.cli.tools import RedisGroup


class _Later(RedisGroup):
    """Imports a command when it is called."""

    commands_by_module: ClassVar = {
        "listing": ("list", "groups"),
        "showing": ("show", "audit"),
        "replaying": ("replay",),
        "deleting": ("discard", "purge"),
        "editing": ("edit",),
        "moving": ("export", "import"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click's signature
        """Name every command, in the order in which they are needed."""
        return [name for names in self.commands_by_module.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — click's signature
        """Import a command."""
        for module, names in self.commands_by_module.items():
            if cmd_name in names:
                command: click.Command = import_module(f"worker.cli.dead.{module}").COMMANDS[cmd_name]
                return command
        return None


@click.group(cls=_Later)
def dead() -> None:
    """Look at dead letters, replay, edit or delete them.

    They are ordinary failed RQ jobs: `rq info` counts them and `rq requeue` replays them too.
    """
