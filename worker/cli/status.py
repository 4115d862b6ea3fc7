"""`python -m worker status`: the whole fleet at a glance."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import click
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker.cli import status_view
from worker.cli.status_view import Status
from worker.cli.tools import RedisCommand, connect, settings_or_exit
from worker.dead_letters import groups
from worker.dead_letters.queue import DeadLetterQueue
from worker.dispatcher.strays import all_strays
from worker.fleet import reading, server, upcoming
from worker.keys import Keys
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings


@click.command(cls=RedisCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --watch one a line.")
@click.option("--watch", is_flag=False, flag_value=2.0, type=click.FloatRange(min=0.1), help="Again every SECONDS [2].")
@click.option("--deep", is_flag=True, help="Look at every job for those that stand in no list.")
def status(as_json: bool, watch: float | None, deep: bool) -> None:
    """Show queues, consumers of every instance, dead letters, what comes next, and Redis. Changes nothing."""
    settings = settings_or_exit()
    redis = connect(settings)
    if not watch:
        tell(look(redis, settings, deep=deep), as_json=as_json)
        return
    while True:
        try:
            seen = look(redis, settings, deep=deep)
        except RedisTrouble as trouble:
            click.echo(f"Redis: {trouble}", err=True)
        else:
            if sys.stdout.isatty():
                click.clear()
            tell(seen, as_json=as_json)
        sys.stdout.flush()
        time.sleep(watch)


def tell(seen: Status, *, as_json: bool) -> None:
    """Print it, for people or for programs."""
    if as_json:
        click.echo(json.dumps(as_dict(seen)))
    else:
        status_view.show(seen)


def look(redis: Redis, settings: Settings, *, deep: bool) -> Status:
    """Read everything."""
    letters = settings.dead_letter_queue
    keys = Keys(RQ_KEY_PREFIX)
    seen = reading.read(redis, keys, settings.worker_queues, letters)
    return Status(
        seen,
        upcoming.read(redis, keys, [queue.name for queue in seen.queues]),
        groups.group(DeadLetterQueue(redis, RQ_KEY_PREFIX, letters)),
        server.read(redis),
        list(all_strays(ScriptCalls(redis, RQ_KEY_PREFIX))) if deep else None,
    )


def as_dict(seen: Status) -> dict[str, object]:
    """Return what `--json` shows."""
    return {
        **asdict(seen.fleet),
        **asdict(seen.coming),
        "letters": [asdict(one) for one in seen.letters],
        "redis": asdict(seen.server),
        **({} if seen.strays is None else {"strays": [asdict(stray) for stray in seen.strays]}),
        "attention": seen.attention(),
    }
