"""What `status` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

from worker.cli.terminal import print_table
from worker.dead_letters.groups import Group
from worker.dispatcher.strays import SCHEDULED, UNKNOWN_KEEPER, Stray
from worker.fleet.server import Server
from worker.fleet.state import ConsumerState, Fleet, QueueState
from worker.fleet.upcoming import Coming
from worker.text import counted, duration, one_line

#: How many groups of dead letters are shown.
_GROUPS: Final = 5
_ERROR_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Overview:
    """All that was read; `strays` is None when they were not looked for."""

    fleet: Fleet
    coming: Coming
    letters: list[Group]
    server: Server
    strays: list[Stray] | None

    def attention(self) -> list[str]:
        """Return sentences about what a person should look at."""
        found = [*self.fleet.attention(), *self.server.attention()]
        left = [stray for stray in self.strays or () if stray.status == SCHEDULED]
        if lost := len(self.strays or ()) - len(left):
            found.append(
                f"{counted(lost, 'job is', 'jobs are')} in no queue and no registry. A running instance puts such jobs "
                f"back within hours."
            )
        if left:
            found.append(f"{counted(len(left), 'job is', 'jobs are')} left alone. {UNKNOWN_KEEPER}")
        return found


def show(seen: Overview) -> None:
    """Print everything."""
    _server(seen.server)
    print_table(
        ("queue", "waiting", "running", "scheduled", "deferred", "failed", "next waits", "consumers"),
        map(_queue_row, seen.fleet.queues),
    )
    click.echo()
    _consumers(seen.fleet)
    if seen.fleet.standing:
        click.echo("\nWhere long jobs stand:")
        print_table(("job", "where"), seen.fleet.standing.items())
    _coming(seen.coming)
    _letters(seen)
    if seen.strays is not None:
        _strays(seen.strays)
    for sentence in seen.attention():
        click.echo(f"! {one_line(sentence)}")


def _server(server: Server) -> None:
    parts = [
        f"{server.product} {server.version or '(version unknown)'}",
        f"answers in {server.answers_in * 1000:.1f} ms",
    ]
    if server.memory is not None:
        limit = f" of {server.memory_limit / 1e6:,.0f}" if server.memory_limit else ""
        parts.append(f"{server.memory / 1e6:,.1f}{limit} MB")
    if server.clients is not None:
        parts.append(f"{server.clients} connections")
    click.echo(" · ".join(parts) + "\n")


def _consumers(fleet: Fleet) -> None:
    if not fleet.consumers:
        click.echo("No consumer is registered.")
        return
    print_table(
        ("consumer", "state", "queues", "job", "for", "done", "failed", "MB", "isolation", "release", "heard"),
        map(_row, fleet.consumers),
    )


def _coming(coming: Coming) -> None:
    if coming.scheduled:
        click.echo("\nNext scheduled:")
        print_table(
            ("job", "queue", "in", "attempt", "last error"),
            ((job.job_id, job.queue, _in(job.due_in), job.attempt, _cut(job.last_error)) for job in coming.scheduled),
        )
    if coming.cron:
        click.echo("\nSchedule:")
        print_table(
            ("name", "queue", "when", "last", "next in"),
            ((line.name, line.queue, line.when, _ago(line.last_ago), _in(line.next_in)) for line in coming.cron),
        )


def _letters(seen: Overview) -> None:
    count = seen.fleet.dead_letters
    click.echo(f"\nDead letters: {count:,}." + (" Next: python -m worker dead list" if count else ""))
    if seen.letters:
        rows = (
            (one.count, newest.fingerprint, newest.function, reason_of(one), _cut(error_of(one)), failed_at(one))
            for one in seen.letters[:_GROUPS]
            for newest in (one.newest,)
        )
        print_table(("count", "fingerprint", "function", "reason", "newest error", "at"), rows)


def _strays(strays: list[Stray]) -> None:
    if not strays:
        click.echo("\nEvery job is in the queue or registry of its status.")
        return
    click.echo("\nJobs in no queue and no registry:")
    print_table(("job", "status", "queue"), ((stray.job_id, stray.status, stray.queue) for stray in strays))


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
        _seconds(consumer.job_age),
        consumer.succeeded,
        consumer.failed,
        "" if consumer.memory_mb is None else consumer.memory_mb,
        consumer.isolation + (f", {consumer.threads} at once" if consumer.threads > 1 else ""),
        consumer.release[:7] or f"rq {consumer.rq}",
        _ago(consumer.heard) or "never",
    )


def reason_of(group: Group) -> str:
    """Return the reason's code of the newest letter."""
    return str(group.newest.record.get("reason", "failed elsewhere"))


def error_of(group: Group) -> str:
    """Return the exception and the message of the newest letter."""
    record = group.newest.record
    return f"{record.get('exception', '')}: {record.get('message', '')}".strip(": ")


def failed_at(group: Group) -> str:
    """Return when the newest letter failed."""
    return group.newest.ended_at or str(group.newest.record.get("at", ""))


def _seconds(value: float | None) -> str:
    return "" if value is None else duration(value)


def _ago(value: float | None) -> str:
    return "" if value is None else f"{duration(value)} ago"


def _in(value: float | None) -> str:
    return "" if value is None else f"{duration(-value)} late" if value < 0 else duration(value)


def _cut(text: str) -> str:
    return text if len(text) <= _ERROR_CHARACTERS else f"{text[:_ERROR_CHARACTERS]}…"
