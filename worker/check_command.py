"""`python -m worker check`: is this environment good enough to deploy?"""

from __future__ import annotations

import click

from worker.cli_tools import connect, settings_or_exit


@click.command()
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to try to reach Redis.")
def check(timeout: float) -> None:
    """Check the settings, then try Redis; say in words what is wrong."""
    settings = settings_or_exit()
    click.echo("Settings: good.")
    click.echo(
        f"  queues {', '.join(settings.worker_queues)} · {settings.worker_processes} consumers × "
        f"{settings.worker_threads} threads · jobs from {', '.join(settings.worker_job_modules)} · "
        f"health port {settings.health_port or 'off'}"
    )
    client = connect(settings, patience=timeout)
    info = client.info("server")
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "unknown version")
    click.echo(f"Redis: answers ({product} {version}).")
