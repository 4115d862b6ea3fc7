"""What several commands need: the settings, a connection, and an end in words when Redis cannot be reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from worker.errors import SettingsError
from worker.exits import Exit
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.settings.load import load

if TYPE_CHECKING:
    from redis import Redis

#: How long a command tries to reach Redis.
CONNECT_SECONDS: Final = 10.0


class LazyGroup(click.Group):
    """A group that imports a command when it is called: --help is quick, and the service does not pay for the others.

    `lazy` maps a command's name to its place, ``module:attribute``, in the order in which --help lists them.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List every command."""
        return [*super().list_commands(ctx), *self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class RedisCommand(click.Command):
    """A command that talks to Redis: trouble that comes while it runs ends it in words, too."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RedisTrouble as trouble:
            fail(trouble)


def settings_or_exit(*, need_redis_url: bool = True) -> Settings:
    """Read the environment; a wrong one ends the process with every problem listed."""
    try:
        return load(os.environ, need_redis_url=need_redis_url)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(Exit.SETTINGS)


def connect(settings: Settings) -> Redis:
    """Connect to Redis; trouble that lasts ends the process with its cause and a likely fix."""
    from worker import queue
    from worker.redis.client import Client

    def report(trouble: RedisTrouble, delay: float) -> None:
        if delay > 1:
            click.echo(f"{trouble.trouble.sentence} Trying again in {delay:.0f} s …", err=True)

    try:
        until = monotonic() + CONNECT_SECONDS
        return Client.over(
            queue.connect_with_retry(settings, client_name="worker.cli", deadline=until, on_trouble=report)
        )
    except RedisTrouble as trouble:
        fail(trouble)


def fail(trouble: RedisTrouble) -> NoReturn:
    """End a command that could not reach Redis, in words."""
    click.echo(f"Redis: {trouble}", err=True)
    sys.exit(Exit.REDIS)
