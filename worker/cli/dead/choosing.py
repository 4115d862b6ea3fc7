"""The options with which every command says which dead letters are meant, and what all commands begin with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click
from rq.defaults import RQ_KEY_PREFIX

from worker import logs
from worker.cli.tools import connect, settings_or_exit
from worker.dead_letters.changes import Changes, whoever
from worker.dead_letters.filter import Filter, age, moment, rate
from worker.dead_letters.queue import DeadLetterQueue

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Text(click.ParamType[float]):
    """A text that `read` turns into something; what it raises is shown."""

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


MOMENT = _Text("when", lambda text: moment(text, now=time.time()))
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
    """Make the filter of those options."""
    return Filter(**options)


def older_than(chosen: Filter, seconds: float) -> Filter:
    """Narrow a filter to letters that are older than so many seconds."""
    until = time.time() - seconds
    return replace(chosen, until=until if chosen.until is None else min(until, chosen.until))


def open_box() -> DeadLetterQueue:
    """Read the settings and connect; ends the process in words if that fails."""
    settings = settings_or_exit()
    return DeadLetterQueue(connect(settings), RQ_KEY_PREFIX, settings.dead_letter_queue)


def open_actions(note: str) -> Changes:
    """The same for a command that changes letters; its events go to standard error, in the service's format."""
    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format, stream=sys.stderr)
    box = DeadLetterQueue(connect(settings), RQ_KEY_PREFIX, settings.dead_letter_queue)
    return Changes(box, whoever(), note)


def log_done(actions: Changes, action: str, count: int, **fields: Any) -> None:
    """Log what a command has done; the same stands in the audit."""
    if count:
        told = {"action": action, "count": count, "who": actions.who, "run": actions.run, "note": actions.note}
        logs.get_logger().info("dead_letters.changed", **told, **fields)


def need_a_choice(job_ids: tuple[str, ...], chosen: Filter, *, everything: bool) -> None:
    """Refuse a change that names nothing, or two things."""
    if bool(job_ids) + (bool(chosen) or everything) != 1:
        raise click.UsageError("Name the ids, or choose with a filter (see --help), or say --all.")


def described(job_ids: tuple[str, ...], chosen: Filter) -> str:
    """Say which letters are meant, for the audit."""
    return str(chosen) or (f"{len(job_ids)} by id" if job_ids else "all")
