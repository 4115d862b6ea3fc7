"""`python -m worker check`: is this environment good enough to deploy?"""

from __future__ import annotations

from typing import Any

import click
from redis import Redis
from redis.exceptions import ResponseError

from worker.cli_tools import RedisCommand, connect, settings_or_exit


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


def _facts(client: Redis) -> dict[str, Any]:
    """Ask for INFO; {} where a provider or an ACL refuses it, since the worker itself does not need it."""
    try:
        facts: dict[str, Any] = client.info()
    except ResponseError:
        return {}
    return facts
