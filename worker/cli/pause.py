"""`python -m worker pause` and `resume`: keep every instance from beginning certain jobs, for a while."""

from __future__ import annotations

import sys

import click
from rq.defaults import RQ_KEY_PREFIX

from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.dead_letters.changes import user_at_host
from worker.dead_letters.filter import age
from worker.exits import Exit
from worker.fleet import pauses
from worker.keys import Keys
from worker.text import one_line

_QUEUE = click.option("--queue", default="", metavar="QUEUE", help="Of this queue.")
_FUNCTION = click.option("--function", default="", metavar="NAME", help="Of this function, as jobs name it.")
_INSTANCE = click.option("--instance", default="", metavar="NAME", help="Of this instance, as status names it.")


@click.command(cls=RedisCommand)
@_QUEUE
@_FUNCTION
@_INSTANCE
@click.option("--for", "length", default="", metavar="TIME", help="It ends by itself after this: 90s, 10m, 2h, 1d.")
@click.option("--reason", default="", metavar="TEXT", help="Why; `status` shows it.")
def pause(queue: str, function: str, instance: str, length: str, reason: str) -> None:
    """Begin no more jobs of a queue, of a function, or at all, on any instance. Jobs that run end.

    Jobs of a paused queue stay where they are. Those of a paused function wait on the queue paused:QUEUE:FUNCTION, in
    order. RQ's own workers do not know of pauses and go on.
    """
    redis = connect(settings_or_exit())
    try:
        seconds = age(length) if length else None
        sentence = pauses.pause(
            redis,
            Keys(RQ_KEY_PREFIX),
            function=_named(function, instance),
            queue=queue,
            seconds=seconds,
            who=user_at_host(),
            reason=reason,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(one_line(sentence))


@click.command(cls=RedisCommand)
@_QUEUE
@_FUNCTION
@_INSTANCE
def resume(queue: str, function: str, instance: str) -> None:
    """End a pause: name what was paused. Without an option every pause ends."""
    sentence = pauses.resume(
        connect(settings_or_exit()),
        Keys(RQ_KEY_PREFIX),
        function=_named(function, instance),
        queue=queue,
        who=user_at_host(),
    )
    click.echo(one_line(sentence))
    sys.exit(Exit.FAILED if "was not paused" in sentence else Exit.OK)


def _named(function: str, instance: str) -> str:
    if function and instance:
        raise click.UsageError("Name a function or an instance: an instance is paused as a whole.")
    return f"{pauses.INSTANCE}{instance}" if instance else function
