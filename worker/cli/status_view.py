"""What `status` prints."""

from __future__ import annotations

from dataclasses import dataclass

import click

from worker.cli.terminal import print_table
from worker.dead_letters.groups import DeadLetterGroup
from worker.dispatcher.strays import Stray
from worker.fleet.server import Server
from worker.fleet.state import ConsumerState, Fleet, QueueState
from worker.fleet.upcoming import Coming
from worker.text import one_line

#: Groups of dead letters that are shown.
_GROUPS = 5
_ERROR_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Status:
    """All that was read; `strays` is None when nobody looked for them."""

    fleet: Fleet
    coming: Coming
    letters: list[DeadLetterGroup]
    server: Server
    strays: list[Stray] | None

    def attention(self) -> list[str]:
        """Say in sentences what a person should look at."""
        told = [*self.fleet.attention(), *self.server.attention()]
        if self.strays:
            told.append(
                f"{len(self.strays)} job{'s stand' if len(self.strays) > 1 else ' stands'} in no list. "
                f"A running instance puts such jobs back within hours."
            )
        return told


def show(seen: Status) -> None:
    """Print everything."""
    _server(seen.server)
    print_table(
        ("queue", "waiting", "running", "scheduled", "deferred", "failed", "next waits", "consumers"),
        map(_queue_row, seen.fleet.queues),
    )
    click.echo()
    _consumers(seen.fleet)
    _coming(seen.coming)
    _letters(seen)
    if seen.strays is not None:
        _strays(seen.strays)
    for sentence in seen.attention():
        click.echo(f"! {one_line(sentence)}")


def _server(server: Server) -> None:
    parts = [
        f"{server.product} {server.version or '(version not told)'}",
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
        ("consumer", "state", "queues", "job", "for", "done", "failed", "MB", "release", "heard"),
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


def _letters(seen: Status) -> None:
    count = seen.fleet.dead_letters
    click.echo(f"\nDead letters: {count:,}." + (" Next: python -m worker dead list" if count else ""))
    if seen.letters:
        rows = (
            (one.count, one.fingerprint, one.function, one.reason, _cut(one.error), one.newest) for one in seen.letters
        )
        print_table(("count", "fingerprint", "function", "reason", "newest error", "at"), list(rows)[:_GROUPS])


def _strays(strays: list[Stray]) -> None:
    if not strays:
        click.echo("\nEvery job stands where its status says.")
        return
    click.echo("\nJobs that stand in no list:")
    print_table(("job", "says", "queue"), ((stray.job_id, stray.status, stray.queue) for stray in strays))


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
        consumer.release[:7] or f"rq {consumer.rq}",
        _ago(consumer.heard) or "never",
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    for unit, length, least in (("d", 86_400, 2 * 86_400), ("h", 3600, 2 * 3600), ("min", 60, 600)):
        if value >= least:
            return f"{value / length:,.1f} {unit}"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _ago(value: float | None) -> str:
    return "" if value is None else f"{_seconds(value)} ago"


def _in(value: float | None) -> str:
    return "" if value is None else f"{_seconds(-value)} late" if value < 0 else _seconds(value)


def _cut(text: str) -> str:
    return text if len(text) <= _ERROR_CHARACTERS else f"{text[:_ERROR_CHARACTERS]}…"
