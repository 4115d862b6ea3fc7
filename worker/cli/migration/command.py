"""`python -m worker migrate`: copy all jobs from one Redis to another."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import asdict
from time import monotonic

import click
from pydantic import SecretStr
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker import queue
from worker.cli.common import CONNECT_SECONDS, RedisCommand, settings_or_exit
from worker.cli.migration.run import Account, Count, Migration
from worker.cli.terminal import print_table
from worker.errors import SettingsError
from worker.exits import Exit
from worker.keys import Keys
from worker.redis.client import Client
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.settings.load import load
from worker.text import counted


@click.command(cls=RedisCommand)
@click.option("--from", "source_url", envvar="MIGRATE_FROM", required=True, help="URL of the old Redis [MIGRATE_FROM].")
@click.option("--to", "target_url", envvar="MIGRATE_TO", required=True, help="URL of the new one [MIGRATE_TO].")
@click.option("--dry-run", is_flag=True, help="Count what would be copied; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def migrate(source_url: str, target_url: str, dry_run: bool, as_json: bool) -> None:
    """Copy queues, jobs, results, registries and dead letters to another Redis.

    The old one is only read. Safe to run again at any time, after a kill too: each job is copied once. Stop the
    workers on the old Redis first. Other users of the machine can see URLs on a command line, but not the variables.
    """
    settings = settings_or_exit(need_redis_url=False)
    source, target = _connect(settings, source_url, "--from"), _connect(settings, target_url, "--to")
    migration = Migration(source, target, Keys(RQ_KEY_PREFIX), settings.dead_letter_queue, _show_progress)
    alive = migration.live_workers()
    if alive and not dry_run:
        click.echo(
            f"{_workers(len(alive))} alive on the old Redis (first: {alive[0]}). Stop them, or a job would run on "
            f"both; then run this again. Killed workers are forgotten after 8 minutes.",
            err=True,
        )
        sys.exit(Exit.FAILED)
    if not dry_run and migration.scheduler_runs():
        click.echo(
            "An rq-scheduler runs on the old Redis (rq:scheduler_lock is there). Stop it, or a job would run on both; "
            "then run this again. A killed one is forgotten after 70 seconds.",
            err=True,
        )
        sys.exit(Exit.FAILED)
    if not dry_run and migration.same_database(secrets.token_hex(16)):
        click.echo("--from and --to are the same database. Nothing was done.", err=True)
        sys.exit(Exit.USAGE)
    account = migration.preview() if dry_run else migration.run()
    if as_json:
        rows = [{**asdict(count), "missing": count.missing} for count in account.counts]
        click.echo(json.dumps({"dry_run": dry_run, "counts": rows, "left": account.left, "missing": account.missing}))
    else:
        _print(account, dry_run, len(alive))
    sys.exit(Exit.FAILED if account.missing else Exit.OK)


def _connect(settings: Settings, url: str, option: str) -> Redis:
    try:
        load({"REDIS_URL": url}, need_redis_url=True)
    except SettingsError as error:
        click.echo(f"{option}: {error}", err=True)
        sys.exit(Exit.USAGE)
    own = settings.model_copy(update={"redis_url": SecretStr(url)})
    try:
        until = monotonic() + CONNECT_SECONDS
        return Client.over(queue.connect_with_retry(own, client_name="worker.migrate", deadline=until))
    except RedisTrouble as trouble:
        click.echo(f"{option}: {trouble}", err=True)
        sys.exit(Exit.REDIS)


def _show_progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done:,} of {total:,} ", nl=False, err=True)


def _print(account: Account, dry_run: bool, alive: int) -> None:
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)
    print_table(
        ("what", "on the old one", "to copy" if dry_run else "copied", "there before", "left out", "missing"),
        map(_row, account.counts),
    )
    click.echo(f"\n{account.left} keys of processes (workers, locks) stay behind.")
    if dry_run:
        click.echo("Nothing was written.")
        if alive:
            click.echo(f"! {_workers(alive)} alive on the old Redis. Stop them before the migration.")
    elif account.missing:
        click.echo(f"! {account.missing} are missing: they were added or moved meanwhile. Run this again.")
    else:
        click.echo(
            "Everything is there. Next: point producers, then workers, at the new Redis; run this once more for jobs "
            "that producers put on the old one meanwhile; keep the old one until all is well."
        )


def _row(count: Count) -> tuple[object, ...]:
    return (count.what, count.source, count.carried, count.before, count.left_out, max(0, count.missing))


def _workers(count: int) -> str:
    return counted(count, "worker is", "workers are")
