"""The command line: `python -m worker COMMAND`. The only place that prints and that ends the process."""

from __future__ import annotations

import gc
import pkgutil
import secrets
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import click

from worker import logs
from worker.cli_tools import settings_or_exit
from worker.environment import load_dotenv
from worker.exits import Exit
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.cron_file import Entry
    from worker.scoreboard import Scoreboard
    from worker.slot import Slot

log = logs.get_logger()


class _Later(click.Group):
    """A group whose commands are imported when they are called: --help is quick, and the service does not pay."""

    modules: ClassVar = {
        "check": "worker.check_command",
        "dead": "worker.dead_command",
        "develop": "worker.develop_command",
        "enqueue": "worker.enqueue_command",
        "migrate": "worker.migrate_command",
        "monitor": "worker.monitor_command",
        "status": "worker.status_command",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        return sorted([*super().list_commands(ctx), *self.modules])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name in self.modules:
            command: click.Command = getattr(import_module(self.modules[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Later, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """WorthIt! worker: runs RQ jobs and never loses one. Without a command it runs the service."""
    load_dotenv()
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
def run() -> None:
    """Run the service: supervisor, consumers, dispatcher, health endpoint."""
    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(serve(settings))


def serve(settings: Settings) -> Exit:
    """Preload what the children share, then supervise until the end."""
    from worker import signals
    from worker.bell import Bell
    from worker.scoreboard import Scoreboard
    from worker.slot import Role
    from worker.supervisor import Supervisor

    inbox = signals.listen()  # before the preload, which may take seconds
    scoreboard = Scoreboard()
    bell, hail = Bell(), Bell()
    instance = f"{settings.instance}.{secrets.token_hex(2)}"
    preload(settings)
    from worker import boot, consumer, dispatcher
    from worker.watch import WatchLock, consumers_watch

    watch = WatchLock() if consumers_watch(len(settings.worker_queues), settings.worker_threads) else None

    schedule = read_schedule(settings)
    gc.collect()
    gc.freeze()

    def consume(slot: Slot) -> int:
        return consumer.main(settings, scoreboard, bell, hail, watch, f"{instance}.{slot.index}", slot)

    def dispatch(slot: Slot) -> int:
        boot.explain_trouble(settings, slot)
        name = f"{instance}.dispatcher"
        return dispatcher.main(settings, scoreboard, bell, hail, name, slot, schedule=schedule)

    roles: dict[Role, Callable[[Slot], int]] = {Role.CONSUMER: consume, Role.DISPATCHER: dispatch}
    if settings.health_port:
        roles[Role.HEALTH] = partial(answer_probes, settings, scoreboard)
    return Supervisor(
        scoreboard,
        roles,
        consumers=settings.worker_processes,
        grace=settings.worker_shutdown_grace,
        inbox=inbox,
    ).run()


def preload(settings: Settings) -> None:
    """Import every module of the job packages and what each child would import, so that forked children share them.

    A module that cannot be imported ends the service here: a deploy with a broken job must not go live.
    """
    import_module("encodings.idna")  # for the first connection: a megabyte in each child
    if settings.sentry_dsn is not None:
        import_module("sentry_sdk")  # six
    for package in settings.worker_job_modules:
        name = package
        try:
            module = import_module(name)
            for found in pkgutil.walk_packages(getattr(module, "__path__", ()), prefix=f"{package}."):
                name = found.name
                if not name.endswith(".__main__"):
                    import_module(name)
        except Exception as error:
            log.critical("service.bad_job_module", module=name, exc_info=error)
            click.echo(
                f"WORKER_JOB_MODULES: the module {name} cannot be imported ({type(error).__name__}: {error}). "
                f"Correct it, or take its package out of the variable.",
                err=True,
            )
            sys.exit(Exit.BOOT_FAILED)


def read_schedule(settings: Settings) -> list[Entry]:
    """Read the schedules of the job packages; one that cannot be used ends the service here, in words."""
    from worker import cron_file

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
    """Run the health endpoint until the supervisor says stop (a TERM from the platform alone does not count)."""
    from worker import health, signals
    from worker.probe_server import HealthPortError
    from worker.self_probe import SelfProbe

    signals.Child()
    limit = settings.worker_unhealthy_exit
    probe = SelfProbe(scoreboard, limit, settings.worker_shutdown_grace) if limit else None

    def stop() -> bool:
        if probe is not None:
            probe.turn()
        return bool(slot.stop_asked_at)

    try:
        health.run(scoreboard, settings, stop)
    except HealthPortError as error:
        log.critical("health.cannot_listen", error=str(error))
        return Exit.HEALTH_PORT
    return Exit.OK
