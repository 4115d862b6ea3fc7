"""`python -m worker status`: the whole fleet at a glance."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rq.defaults import RQ_KEY_PREFIX

from worker import fleet
from worker.cli_tools import RedisCommand, connect, settings_or_exit
from worker.fleet import ConsumerState, Fleet, QueueState
from worker.terminal import one_line, print_table


@click.command(cls=RedisCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(as_json: bool) -> None:
    """Show queues, the consumers of every instance and the count of dead letters. Changes nothing."""
    settings = settings_or_exit()
    seen = fleet.read(connect(settings), RQ_KEY_PREFIX, settings.worker_queues, settings.dead_letter_queue)
    if as_json:
        click.echo(json.dumps({**asdict(seen), "attention": seen.attention()}))
        return
    _print(seen)


def _print(seen: Fleet) -> None:
    print_table(
        ("queue", "waiting", "running", "scheduled", "deferred", "failed", "next waits", "consumers"),
        map(_queue_row, seen.queues),
    )
    click.echo()
    if seen.consumers:
        print_table(("consumer", "state", "queues", "jobs", "done", "failed", "heard"), map(_row, seen.consumers))
    else:
        click.echo("No consumer is registered.")
    letters = f"\nDead letters: {seen.dead_letters:,}."
    click.echo(f"{letters} Next: python -m worker dead list" if seen.dead_letters else letters)
    for sentence in seen.attention():
        click.echo(f"! {one_line(sentence)}")


def _queue_row(queue: QueueState) -> tuple[object, ...]:
    return (
        queue.name,
        queue.waiting,
        queue.running,
        queue.scheduled,
        queue.deferred,
        queue.failed,
        _seconds(queue.next_waits),
        queue.consumers,
    )


def _row(consumer: ConsumerState) -> tuple[object, ...]:
    more = f" +{len(consumer.jobs) - 1}" if len(consumer.jobs) > 1 else ""
    return (
        consumer.name,
        consumer.state,
        ",".join(consumer.queues),
        consumer.jobs[0] + more if consumer.jobs else "",
        consumer.succeeded,
        consumer.failed,
        f"{_seconds(consumer.heard)} ago" if consumer.heard is not None else "never",
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"
