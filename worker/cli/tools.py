"""What several commands need: the settings, a connection, and a way to end in words."""

from __future__ import annotations

import os
import sys
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
PATIENCE_SECONDS: Final = 10.0


class RedisCommand(click.Command):
    """A command that talks to Redis: trouble that comes while it runs ends it in words, too."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RedisTrouble as trouble:
            fail(trouble)


class RedisGroup(click.Group):
    """A group of such commands."""

    command_class = RedisCommand


def settings_or_exit(*, need_redis_url: bool = True) -> Settings:
    """Read the environment; a bad one ends the process with every problem listed."""
    try:
        return load(os.environ, need_redis_url=need_redis_url)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(Exit.SETTINGS)


def connect(settings: Settings, *, patience: float = PATIENCE_SECONDS) -> Redis:
    """Connect to Redis; trouble that lasts ends the process with its cause and a likely fix."""
    from worker import queue
    from worker.redis.client import Client

    def tell(trouble: RedisTrouble, delay: float) -> None:
        if delay > 1:
            click.echo(f"{trouble.trouble.sentence} Trying again in {delay:.0f} s …", err=True)

    try:
        until = monotonic() + patience
        return Client.over(
            queue.connect_with_retry(settings, client_name="worker.cli", deadline=until, on_trouble=tell)
        )
    except RedisTrouble as trouble:
        fail(trouble)


def fail(trouble: RedisTrouble) -> NoReturn:
    """End a command that could not reach Redis, in words."""
    click.echo(f"Redis: {trouble}", err=True)
    sys.exit(Exit.REDIS)
