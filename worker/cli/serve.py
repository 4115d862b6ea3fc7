"""`python -m worker run`: preload what the children share, then supervise until the end."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

import click

from worker import logs
from worker.cli.console import console_of
from worker.exits import Exit
from worker.health import endpoint
from worker.health.self_probe import SelfProbe
from worker.health.server import HealthPortError
from worker.process import signals
from worker.process.claim_turn import ClaimTurn, consumers_block
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Role, Slot
from worker.process.supervisor import Supervisor
from worker.process.wakeup import Wakeup
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.dispatcher.cron_file import Entry

log = logs.get_logger()


def serve(settings: Settings) -> Exit:
    """Preload what the children share, then supervise until the end."""
    inbox = signals.listen()  # before the preload, which may take seconds
    scoreboard = Scoreboard()
    wake_consumers, wake_dispatcher = Wakeup(), Wakeup()
    instance = f"{settings.instance}.{secrets.token_hex(2)}"
    for slot in scoreboard.consumers:
        slot.worker_name = f"{instance}.{slot.index}".encode()
    if preload(settings) and settings.worker_preload == "auto":
        start_again_without_preload(inbox)
    from worker.consumer import loop as consumer
    from worker.diagnosis import boot
    from worker.dispatcher import loop as dispatcher

    watch = ClaimTurn() if consumers_block(len(settings.worker_queues), settings.worker_threads) else None
    preloads = settings.worker_preload != "false"
    schedule = read_schedule(settings) if preloads else []
    gc.collect()
    gc.freeze()

    def consume(slot: Slot) -> int:
        return consumer.main(
            settings, scoreboard, wake_consumers, wake_dispatcher, watch, slot.worker_name.decode(), slot
        )

    def dispatch(slot: Slot) -> int:
        try:
            own = schedule if preloads else read_schedule(settings)  # which imports job modules
        except SystemExit:
            return Exit.BOOT_FAILED
        boot.explain_trouble(settings, slot)
        name = f"{instance}.dispatcher"
        return dispatcher.main(settings, scoreboard, wake_consumers, wake_dispatcher, name, slot, schedule=own)

    roles: dict[Role, Callable[[Slot], int]] = {Role.CONSUMER: consume, Role.DISPATCHER: dispatch}
    if settings.health_port:
        roles[Role.HEALTH] = partial(answer_probes, settings, scoreboard)
    supervisor = Supervisor(
        scoreboard,
        roles,
        consumers=settings.worker_processes,
        grace=settings.worker_shutdown_grace,
        inbox=inbox,
    )
    fate = supervisor.run()
    signals.ignore()
    return fate


def preload(settings: Settings) -> bool:
    """Import what each child would import, so that the forked children share it; return if job modules opened anything.

    That is every module of the job packages, unless WORKER_PRELOAD is false. One that cannot be imported ends the
    service here: a deploy with a broken job must not go live.
    """
    import_module("encodings.idna")  # the first connection needs it: one megabyte in each child
    if settings.sentry_dsn is not None:
        import_module("sentry_sdk")  # six megabytes
    opened = settings.worker_preload != "false" and _import_job_modules(settings)
    _import_pickle_classes(settings)
    return opened


def _import_job_modules(settings: Settings) -> bool:
    from worker.consumer import lifecycle
    from worker.engine import job_modules

    try:
        opened = job_modules.import_all(settings.worker_job_modules)
        lifecycle.load(settings.worker_job_modules)
    except job_modules.BadJobModule as error:
        log.critical("service.bad_job_module", module=error.module, exc_info=error.__cause__)
        click.echo(str(error), err=True)
        sys.exit(error.exit)
    except lifecycle.LifecycleError as error:
        log.critical("service.bad_lifecycle", error=str(error), exc_info=error.__cause__)
        click.echo(str(error), err=True)
        sys.exit(error.exit)
    for module, things in opened.items():
        log.warning(
            "service.opened_by_import",
            module=module,
            opened=things,
            effect=job_modules.effect(settings.worker_preload),
            fix=job_modules.FIX,
        )
    return bool(opened)


def start_again_without_preload(inbox: SimpleQueue[int]) -> NoReturn:
    """Put a new service in the place of this one, in the same process, whose consumers import the job modules.

    What the modules have opened here goes with the old one. Signals that have come are handed on.
    """
    signals.hand_on(inbox)
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ["WORKER_PRELOAD"] = "false"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 — the same command


def _import_pickle_classes(settings: Settings) -> None:
    from worker.engine import pickle_names

    problems = list(filter(None, map(pickle_names.problem, settings.worker_pickle_classes)))
    if problems:
        log.critical("service.bad_pickle_class", problems=problems)
        for problem in problems:
            click.echo(f"WORKER_PICKLE_CLASSES: {problem} Correct it, or remove it from the variable.", err=True)
        sys.exit(Exit.BOOT_FAILED)


def read_schedule(settings: Settings) -> list[Entry]:
    """Read the schedules of the job packages; a wrong one ends the service here, with a sentence."""
    from worker.dispatcher import cron_file

    try:
        schedule = cron_file.load(settings)
    except cron_file.ScheduleError as error:
        log.critical("service.bad_schedule", error=str(error))
        click.echo(str(error), err=True)
        sys.exit(Exit.BOOT_FAILED)
    for queue in cron_file.foreign_queues(schedule, settings):
        log.warning("cron.queue_not_ours", queue=queue, queues=settings.worker_queues)
    return schedule


def answer_probes(settings: Settings, scoreboard: Scoreboard, slot: Slot) -> int:
    """Run the health endpoint, and the console if it is open, until the supervisor asks for a stop.

    A TERM from the platform alone does not count.
    """
    signals.Child()
    limit = settings.worker_unhealthy_exit
    probe = SelfProbe(scoreboard, limit, settings.worker_shutdown_grace) if limit else None

    def stop() -> bool:
        if probe is not None:
            probe.turn()
        return bool(slot.stop_asked_at)

    try:
        endpoint.run(scoreboard, settings, stop, console_of(settings))
    except HealthPortError as error:
        log.critical("health.cannot_listen", error=str(error))
        return Exit.HEALTH_PORT
    return Exit.OK
