"""Read the schedule: the module ``schedule`` of a job package, in the format of RQ's ``rq cron``::

    from rq import cron
    from jobs.reports import weekly

    cron.register(weekly, "default", cron="0 6 * * 1", meta={"missed": "skip"})

``meta["missed"]`` is ours: what becomes of runs that fell due while no instance could enqueue them. With "once" (the
default) one run makes up for them, with "skip" nothing runs until the next one is due.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rq import cron as rq_cron
from rq.cron import CronJob

from worker.engine import rq_private
from worker.engine.serializers import Json, Refused, Serializer
from worker.engine.unpickling import AllowListedPickle
from worker.settings import Settings

MISSED: Final = ("once", "skip")


class ScheduleError(Exception):
    """The schedule cannot be used; the message names the line, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the schedule. `key` is the same on every instance and changes with the line."""

    key: str
    job: CronJob
    catches_up: bool


def load(settings: Settings) -> list[Entry]:
    """Import the schedules of all job packages and check them; raises `ScheduleError`."""
    entries: list[Entry] = []
    for package in settings.worker_job_modules:
        name = f"{package}.schedule"
        if _exists(name):
            entries += [_entry(name, line, settings) for line in _lines(name)]
    keys = [entry.key for entry in entries]
    for entry in entries:
        if keys.count(entry.key) > 1:
            raise ScheduleError(f"The schedule has {entry.job.name} twice with the same times and arguments. Drop one.")
    return entries


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the job package is a single module
        return False


def _lines(name: str) -> list[dict[str, Any]]:
    """Return what the module registers; it is imported again, because an earlier import has used its lines up."""
    registered = rq_private.registered_cron_lines(rq_cron)
    registered.clear()
    try:
        if name in sys.modules:
            importlib.reload(sys.modules[name])
        else:
            importlib.import_module(name)
    except Exception as error:
        raise ScheduleError(
            f"The schedule {name} cannot be imported ({type(error).__name__}: {error}). Correct it, or remove the file."
        ) from error
    lines = [dict(line) for line in registered]
    registered.clear()
    return lines


def _entry(module: str, line: dict[str, Any], settings: Settings) -> Entry:
    function = line["func"]
    where = f"{module}: the line for {getattr(function, '__name__', function)!s}"
    if not _is_job(function, settings.worker_job_modules):
        raise ScheduleError(
            f"{where} names no function of {', '.join(settings.worker_job_modules)} (WORKER_JOB_MODULES), so no "
            f"consumer would run it. Register a function that is defined there."
        )
    missed = (line.get("meta") or {}).get("missed", MISSED[0])
    if missed not in MISSED:
        raise ScheduleError(f"{where} has missed={missed!r} in its meta. Use {' or '.join(map(repr, MISSED))}.")
    if line["queue_name"] == settings.dead_letter_queue:
        raise ScheduleError(f"{where} names the dead-letter queue, which nobody consumes. Name another queue.")
    interval = line.get("interval")
    if interval is not None and not (isinstance(interval, (int, float)) and 0 < interval < math.inf):
        raise ScheduleError(f"{where} has interval={interval!r}. Use a number of seconds above 0.")
    try:
        job = CronJob(**line)
    except (ValueError, TypeError, KeyError) as error:
        raise ScheduleError(
            f"{where} cannot be used ({error}). Give it interval=SECONDS or cron='MINUTE HOUR DAY MONTH WEEKDAY'."
        ) from error
    _check_arguments(where, job, settings)
    content = repr((job.name, job.queue_name, job.args, sorted(job.kwargs.items()), job.interval, job.cron))
    return Entry(f"{job.name}:{hashlib.sha256(content.encode()).hexdigest()[:12]}", job, missed == "once")


def serializer_of(settings: Settings) -> str:
    """Return the format in which the schedule's jobs are written: RQ's own default where it is accepted."""
    return "pickle" if "pickle" in settings.worker_serializers else "json"


def _is_job(function: Callable[..., Any], packages: Sequence[str]) -> bool:
    """Whether a payload can name this function: it stands at the top of a module in the job packages."""
    module = f"{getattr(function, '__module__', '')}."
    name = getattr(function, "__qualname__", "")
    return name.isidentifier() and any(module.startswith(f"{package}.") for package in packages)


def _check_arguments(where: str, job: CronJob, settings: Settings) -> None:
    """Send the arguments through the format and the allow-list that every consumer applies."""
    name = serializer_of(settings)
    pickles = AllowListedPickle(settings.worker_job_modules, settings.worker_pickle_classes)
    serializer: Serializer = Json() if name == "json" else pickles
    try:
        serializer.loads(serializer.dumps([list(job.args), job.kwargs]))
        if name == "json":  # where null would be written for it, the job would get another argument
            json.dumps([list(job.args), job.kwargs], allow_nan=False)
    except Refused as error:
        raise ScheduleError(f"{where} has arguments that no consumer accepts. {error}") from error
    except Exception as error:
        raise ScheduleError(f"{where} has arguments that {name} cannot carry ({error}). Use plain values.") from error


def foreign_queues(entries: Sequence[Entry], settings: Settings) -> list[str]:
    """Return the queues that the schedule uses and this service does not read."""
    return sorted({entry.job.queue_name for entry in entries} - set(settings.worker_queues))
