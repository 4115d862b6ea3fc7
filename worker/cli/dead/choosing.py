"""The options that choose dead letters, and what every command begins and ends with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click
from rq.defaults import RQ_KEY_PREFIX

from worker import logs
from worker.cli.common import connect, fail, settings_or_exit
from worker.dead_letters.changes import Changes, user_at_host
from worker.dead_letters.filter import Filter, age, moment, rate
from worker.dead_letters.queue import DeadLetterQueue
from worker.redis.trouble import RedisTrouble
from worker.text import printable

#: Characters by which an id may be cut short, and of one that cannot be.
LEAST_ID: Final = 6
LONG_ID: Final = 32

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Text(click.ParamType[float]):
    """An option's text that `read` turns into a number; the message of its `ValueError` is shown."""

    def __init__(self, name: str, read: Callable[[str], float]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one option."""
        if not isinstance(value, str):
            return float(value)
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


MOMENT = _Text("when", lambda text: moment(text, now=server_time))
AGE = _Text("age", age)
RATE = _Text("rate", rate)

_OPTIONS = (
    click.option("--queue", default="", help="Of this queue."),
    click.option("--function", default="", metavar="NAME", help="Of this function; * and ? stand for anything."),
    click.option("--exception", default="", metavar="NAME", help="With this exception: ValueError, shop.Gone, *Out."),
    click.option("--fingerprint", default="", metavar="HEX", help="Of this kind of failure; see `groups`."),
    click.option("--reason", default="", metavar="CODE", help="With this reason's code."),
    click.option("--since", type=MOMENT, help="Failed at or after: 90m or 7d ago, or a date (UTC)."),
    click.option("--until", type=MOMENT, help="Failed at or before."),
)


def choosing(command: _Command) -> _Command:
    """Give a command the options of a `Filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_by(options: dict[str, Any]) -> Filter:
    """Return the filter of those options."""
    return Filter(**options)


def open_dead_letters() -> DeadLetterQueue:
    """Read the settings and connect; ends the process in words if that fails."""
    settings = settings_or_exit()
    return DeadLetterQueue(connect(settings), RQ_KEY_PREFIX, settings.dead_letter_queue)


def whole_ids(dead_letters: DeadLetterQueue, given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that are meant by the short ones of `dead list`; those of no letter stay as they are.

    Ends the command in words when one stands for several letters.
    """
    return tuple(dict.fromkeys(_whole(dead_letters, one) for one in given))


def _whole(dead_letters: DeadLetterQueue, given: str) -> str:
    if not LEAST_ID <= len(given) < LONG_ID or dead_letters.status([given])[0]:
        return given
    found = dead_letters.beginning_with(given)
    if len(found) > 1:
        some = ", ".join(map(printable, found[:3]))
        raise click.UsageError(
            f"{printable(given)} stands for {len(found)} dead letters ({some} …). Give more of the id."
        )
    return found[0] if found else given


def server_time() -> float:
    """Return the server's time (Unix seconds), by which letters are as old as people say; connects for it."""
    try:
        return open_dead_letters().now()
    except RedisTrouble as trouble:
        fail(trouble)


def open_changes(note: str) -> Changes:
    """The same for a command that changes letters; its events go to standard error, in the service's format."""
    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format, stream=sys.stderr)
    dead_letters = DeadLetterQueue(connect(settings), RQ_KEY_PREFIX, settings.dead_letter_queue)
    return Changes(dead_letters, user_at_host(), note)


def log_done(changes: Changes, action: str, count: int, **fields: Any) -> None:
    """Log what a command has done; the audit has the same."""
    if count:
        done = {"action": action, "count": count, "who": changes.who, "run": changes.run, "note": changes.note}
        logs.get_logger().info("dead_letters.changed", **done, **fields)


def require_choice(job_ids: tuple[str, ...], chosen: Filter, *, everything: bool) -> None:
    """Refuse a change that chooses no letters, or chooses them in two ways."""
    if bool(job_ids) + (bool(chosen) or everything) != 1:
        raise click.UsageError("Name the ids, or choose with a filter (see --help), or give --all.")


def described(job_ids: tuple[str, ...], chosen: Filter) -> str:
    """Describe the choice, for the audit."""
    return str(chosen) or (f"{len(job_ids)} by id" if job_ids else "all")
