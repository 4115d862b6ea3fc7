"""What `status` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.cli.dead.shown import error_cell
from worker.cli.terminal import Both, Column, coloured, moment, print_lines, short_id, table
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
    """Print everything, what a person should look at first."""
    print_lines(lines(seen))


def lines(seen: Overview) -> list[str]:
    """Return what `show` prints."""
    concerns = [coloured(f"! {one_line(sentence)}", "yellow", bold=True) for sentence in seen.attention()]
    return [
        *(concerns or [coloured("Nothing needs attention.", "green")]),
        "",
        _server(seen.server),
        "",
        *table(_QUEUES, map(_queue_row, seen.fleet.queues)),
        "",
        *_consumers(seen.fleet),
        *_standing(seen.fleet),
        *_coming(seen.coming),
        *_letters(seen),
        *_strays(seen.strays),
    ]


def _numbers(*names: str) -> list[Column]:
    return [Column(name, right=True) for name in names]


_QUEUES: Final = (
    Column("queue", least=10),
    *_numbers("waiting", "running", "scheduled"),
    Column("deferred", right=True, extra=True),
    Column("failed", right=True, colour=lambda text: "" if text in ("0", "") else "red"),
    *_numbers("next waits", "consumers"),
)
_CONSUMERS: Final = (
    Column("consumer", least=12, tail=True),
    Column("state", colour=lambda text: "green" if text == "busy" else ""),
    Column("queues", least=7, extra=True),
    Column("job", least=8),
    *_numbers("for", "done", "failed", "MB"),
    Column("isolation", least=7, extra=True),
    Column("release", least=7, extra=True),
    Column("heard", right=True),
)
_SCHEDULED: Final[Sequence[str | Column]] = (
    "job",
    Column("queue", least=7),
    *_numbers("in", "attempt"),
    Column("last error", least=12),
)
_CRON: Final = (
    Column("name", least=12),
    Column("queue", least=7),
    Column("when", least=9),
    *_numbers("last", "next in"),
)
_GROUPS_SHOWN: Final = (
    Column("count", right=True),
    "fingerprint",
    Column("newest", right=True),
    Column("function", least=16, tail=True),
    Column("reason", least=6),
    Column("newest error", least=12),
)


def _server(server: Server) -> str:
    parts = [
        f"{server.product} {server.version or '(version unknown)'}",
        f"answers in {server.answers_in * 1000:.1f} ms",
    ]
    if server.memory is not None:
        limit = f" of {server.memory_limit / 1e6:,.0f}" if server.memory_limit else ""
        parts.append(f"{server.memory / 1e6:,.1f}{limit} MB")
    if server.clients is not None:
        parts.append(f"{server.clients} connections")
    return " · ".join(parts)


def _consumers(fleet: Fleet) -> list[str]:
    return table(_CONSUMERS, map(_row, fleet.consumers)) if fleet.consumers else ["No consumer is registered."]


def _standing(fleet: Fleet) -> list[str]:
    if not fleet.standing:
        return []
    rows = ((short_id(job), where) for job, where in fleet.standing.items())
    return ["", "Where long jobs stand:", *table(["job", Column("where", least=20)], rows)]


def _coming(coming: Coming) -> list[str]:
    shown = []
    if coming.scheduled:
        jobs = (
            (short_id(job.job_id), job.queue, _in(job.due_in), job.attempt, _cut(job.last_error))
            for job in coming.scheduled
        )
        shown += ["", "Next scheduled:", *table(_SCHEDULED, jobs)]
    if coming.cron:
        rows = ((line.name, line.queue, line.when, _ago(line.last_ago), _in(line.next_in)) for line in coming.cron)
        shown += ["", "Schedule:", *table(_CRON, rows)]
    return shown


def _letters(seen: Overview) -> list[str]:
    count = seen.fleet.dead_letters
    told = f"Dead letters: {count:,}." + (" Next: python -m worker dead list" if count else "")
    if not seen.letters:
        return ["", told]
    rows = (
        (
            one.count,
            one.newest.fingerprint,
            moment(one.newest_moment, seen.fleet.now),
            one.newest.function,
            reason_of(one),
            error_cell(one.newest),
        )
        for one in seen.letters[:_GROUPS]
    )
    return ["", told, *table(_GROUPS_SHOWN, rows)]


def _strays(strays: list[Stray] | None) -> list[str]:
    if strays is None:
        return []
    if not strays:
        return ["", "Every job is in the queue or registry of its status."]
    rows = ((stray.job_id, stray.status, stray.queue) for stray in strays)
    return ["", "Jobs in no queue and no registry:", *table(("job", "status", "queue"), rows)]


def _queue_row(queue: QueueState) -> tuple[object, ...]:
    return (
        f"{queue.name} (paused)" if queue.paused else queue.name,
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
    first = short_id(consumer.jobs[0]) if consumer.jobs else Both("", "")
    return (
        consumer.name,
        consumer.state,
        ",".join(consumer.queues),
        Both(first.whole + more, first.short + more),
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
