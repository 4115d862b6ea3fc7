"""`python -m worker status`: the whole fleet at a glance."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any, Final

import click
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker.cli import status_view
from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.cli.status_view import Overview
from worker.cli.terminal import Screen, coloured
from worker.dead_letters.groups import Group, group
from worker.dead_letters.queue import DeadLetterQueue
from worker.dispatcher.strays import all_strays
from worker.fleet import reading, server, upcoming
from worker.keys import Keys
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.text import duration, json_text, one_line

#: Only the newest dead letters are grouped.
GROUPED_LETTERS: Final = 2000


@click.command(cls=RedisCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --watch one a line.")
@click.option(
    "--watch", is_flag=False, flag_value=2.0, type=click.FloatRange(min=0.1), help="Repeat every SECONDS [2]."
)
@click.option("--deep", is_flag=True, help="Read every job to find those that are in no queue and no registry.")
def status(as_json: bool, watch: float | None, deep: bool) -> None:
    """Show queues, consumers of every instance, dead letters, what comes next, and Redis. Changes nothing."""
    settings = settings_or_exit()
    redis = connect(settings)
    if not watch:
        show(look(redis, settings, deep=deep), as_json=as_json)
        return
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty() and not as_json:
            with Screen() as screen:
                _draw(screen, repeated(partial(look, redis, settings, deep=deep), watch))
        for seen in repeated(partial(look, redis, settings, deep=deep), watch):
            if isinstance(seen, RedisTrouble):
                click.echo(f"Redis: {seen}", err=True)
            else:
                show(seen, as_json=as_json)
            sys.stdout.flush()


def _draw(screen: Screen, looks: Iterable[Overview | RedisTrouble]) -> None:
    """Fill the terminal with each look; while Redis is away, with the last one and why it is not newer."""
    last, at = ["Nothing has been read yet."], time.monotonic()
    for seen in looks:
        if isinstance(seen, RedisTrouble):
            ago = duration(time.monotonic() - at)
            screen.draw([coloured(one_line(f"! Redis: {seen}"), "red", bold=True), f"As it was {ago} ago:", *last])
        else:
            last, at = status_view.lines(seen), time.monotonic()
            screen.draw(last)


def repeated(read: Callable[[], Overview], seconds: float) -> Iterator[Overview | RedisTrouble]:
    """Read again and again, `seconds` after the last time; trouble with Redis is one of the answers."""
    while True:
        try:
            yield read()
        except RedisTrouble as trouble:
            yield trouble
        time.sleep(seconds)


def show(seen: Overview, *, as_json: bool) -> None:
    """Print it, for people or for programs."""
    if as_json:
        click.echo(json_text(as_dict(seen)))
    else:
        status_view.show(seen)


def look(redis: Redis, settings: Settings, *, deep: bool) -> Overview:
    """Read everything."""
    letters = settings.dead_letter_queue
    keys = Keys(RQ_KEY_PREFIX)
    seen = reading.read(redis, keys, settings.worker_queues, letters)
    return Overview(
        seen,
        upcoming.read(redis, keys, [queue.name for queue in seen.queues]),
        group(islice(DeadLetterQueue(redis, RQ_KEY_PREFIX, letters), GROUPED_LETTERS)),
        server.read(redis),
        list(all_strays(ScriptCalls(redis, RQ_KEY_PREFIX))) if deep else None,
    )


def as_dict(seen: Overview) -> dict[str, object]:
    """Return what `--json` shows."""
    return {
        **asdict(seen.fleet),
        **asdict(seen.coming),
        "letters": [_group(one) for one in seen.letters],
        "redis": asdict(seen.server),
        **({} if seen.strays is None else {"strays": [asdict(stray) for stray in seen.strays]}),
        "attention": seen.attention(),
    }


def _group(one: Group) -> dict[str, Any]:
    return {
        "fingerprint": one.newest.fingerprint,
        "count": one.count,
        "reason": status_view.reason_of(one),
        "function": one.newest.function,
        "error": one.newest.error,
        "newest": status_view.failed_at(one),
    }
