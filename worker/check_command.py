"""`python -m worker check`: is this environment good enough to deploy?"""

from __future__ import annotations

import sys
from typing import Any

import click
from redis import Redis
from redis.exceptions import ResponseError

from worker import cron_file
from worker.cli_tools import RedisCommand, connect, settings_or_exit
from worker.exits import Exit
from worker.settings import Settings


@click.command(cls=RedisCommand)
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to try to reach Redis.")
def check(timeout: float) -> None:
    """Check the settings, then try Redis step by step; say in words what is wrong."""
    settings = settings_or_exit()
    click.echo("Settings: good.")
    click.echo(
        f"  queues {', '.join(settings.worker_queues)} · {settings.worker_processes} consumers × "
        f"{settings.worker_threads} threads · jobs from {', '.join(settings.worker_job_modules)} · "
        f"health port {settings.health_port or 'off'}"
    )
    _check_schedule(settings)
    client = connect(settings, patience=timeout)
    facts = _facts(client)
    product = "Valkey" if "valkey_version" in facts else "Redis"
    version = facts.get("valkey_version") or facts.get("redis_version") or "version not told"
    click.echo(f"Redis: answers ({product} {version}).")
    client.eval("return 1", 0)
    click.echo("Scripts: may run.")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        click.echo(f"! Its eviction policy is {policy}: when memory runs out it deletes jobs. Set it to noeviction.")


def _check_schedule(settings: Settings) -> None:
    try:
        schedule = cron_file.load(settings)
    except cron_file.ScheduleError as error:
        click.echo(f"Schedule: {error}", err=True)
        sys.exit(Exit.FAILED)
    lines = f"{len(schedule)} line{'s' if len(schedule) > 1 else ''}, good" if schedule else "none"
    click.echo(f"Schedule: {lines}.")
    for queue in cron_file.foreign_queues(schedule, settings):
        click.echo(f"! The schedule puts jobs on {queue!r}, which is not in WORKER_QUEUES.")


def _facts(client: Redis) -> dict[str, Any]:
    """Ask for INFO; {} where a provider or an ACL refuses it, since the worker itself does not need it."""
    try:
        facts: dict[str, Any] = client.info()
    except ResponseError:
        return {}
    return facts
