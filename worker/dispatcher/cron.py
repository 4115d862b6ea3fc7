"""The leader's chore that enqueues what the schedule's lines ask for: once in the whole fleet, on the server's clock.

A *firing* is a moment at which a line falls due. Redis holds each line's last firing, and the last one that was
enqueued (``rq:cron-runs``: line → firing | firing, Unix times), so restarts, deploys and outages neither repeat nor
forget a run. Runs that could not be enqueued in time are missed: one run makes up for them, or they are skipped, as the
line says (``cron_file.py``). Both are logged.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from time import monotonic
from typing import Any, Final

from rq.cron import CronJob, CronScheduler
from rq.defaults import (
    DEFAULT_CRON_JOB_HISTORY_LIMIT,
    DEFAULT_CRON_JOB_HISTORY_TTL,
    DEFAULT_CRON_SCHEDULER_TTL,
)
from rq.queue import Queue

from worker import logs
from worker.dispatcher.cron_file import Entry
from worker.dispatcher.leader import Lead, Leadership
from worker.engine import rq_private
from worker.keys import SCHEDULER_NAME, Keys
from worker.redis import scripts
from worker.redis.calls import ScriptCalls, Value

log = logs.get_logger()

#: A run that is enqueued later than this was missed: more than a new leader needs to take over.
ON_TIME_SECONDS: Final = 60.0
#: The longest sleep: the schedule is written for RQ's tools at least this often.
LOOK_SECONDS: Final = 3600.0
#: A last firing that is to come by more than this shows that the server's clock was set back.
CLOCK_SECONDS: Final = 30.0
#: Lines that run this often follow a clock that was set back at once; others only if it was set back by more than …
OFTEN_SECONDS: Final = 3600.0
FOLLOWED_SECONDS: Final = 3 * 3600.0
#: Missed runs are counted up to here.
MOST_MISSED: Final = 1000
#: Seconds back from now in which the latest firing of a cron expression is looked for, nearest first.
_SPANS: Final = (3600, 86_400, 7 * 86_400, 366 * 86_400)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of one line: its latest firing (Unix time), and how many there were since the last one written."""

    firing: float
    firings: int


class Cron:
    """The schedule of one release: `name` is the same on all its instances."""

    def __init__(
        self, calls: ScriptCalls, leadership: Leadership, entries: Sequence[Entry], serializer: str | None = None
    ) -> None:
        keys = "".join(sorted(entry.key for entry in entries))
        self.name = f"cron:{hashlib.sha256(keys.encode()).hexdigest()[:12]}"
        self._calls = calls
        self._keys = Keys(calls.prefix)
        self._leadership = leadership
        self._entries = entries
        self._serializer = serializer
        self._created = calls.clock.today()

    def run(self, lead: Lead) -> float:
        """Enqueue what is due; returns seconds to the next firing."""
        began = monotonic()
        last = self._calls.redis.hgetall(self._keys.cron_runs)
        for entry in self._entries:
            self._look_at(lead, entry, last.get(entry.key.encode(), b"").decode())  # type: ignore[union-attr]
        now = lead.server_time + monotonic() - began
        wait = min(LOOK_SECONDS, *(_next(entry.job) - now for entry in self._entries))
        self._show(lead, max(wait, 0.0))
        return max(wait, 0.01)

    def _look_at(self, lead: Lead, entry: Entry, last: str) -> None:
        job, now = entry.job, lead.server_time
        last_firing, _, ran = last.partition("|")
        if not last:  # a new line: as in RQ, an interval begins with a run, and a cron expression waits
            self._pass(lead, entry, last, now) if job.cron else self._enqueue(lead, entry, last, now)
            return
        if float(last_firing) > now + CLOCK_SECONDS and self._go_back(lead, entry, last, float(last_firing) - now):
            return
        due = _due(job, float(last_firing), now)
        if due is None:
            _note(job, float(last_firing), ran)
            return
        late = now - due.firing
        missed = due.firings - (late <= ON_TIME_SECONDS)
        runs = late <= ON_TIME_SECONDS or entry.catches_up
        if missed:
            log.warning("cron.missed", name=job.name, runs=missed, since=_moment(float(last_firing)), caught_up=runs)
        if runs:
            self._enqueue(lead, entry, last, due.firing)
        else:
            self._pass(lead, entry, last, due.firing)

    def _go_back(self, lead: Lead, entry: Entry, last: str, back: float) -> bool:
        """Go on with a line whose last firing is `back` seconds to come, because the server's clock was set back.

        As in Vixie's cron: what runs every hour or more often follows the new time at once. What runs more seldom does
        not run twice for a clock that was set back by less than three hours.
        """
        now, interval = lead.server_time, entry.job.interval
        if not interval:
            first, second = islice(_firings(entry.job, now, float("inf")), 2)
            if second - first > OFTEN_SECONDS and back <= FOLLOWED_SECONDS:
                return False
        log.warning("cron.clock_set_back", name=entry.job.name, seconds=round(back, 1))
        self._enqueue(lead, entry, last, now) if interval else self._pass(lead, entry, last, now)
        return True

    def _enqueue(self, lead: Lead, entry: Entry, last: str, firing: float) -> None:
        cron = entry.job
        queue = Queue(cron.queue_name, connection=self._calls.redis, serializer=self._serializer)
        options = {**cron.job_options, "timeout": cron.job_options.get("job_timeout")}
        options.pop("job_timeout", None)
        job = queue.create_job(cron.func, args=cron.args, kwargs=cron.kwargs, **options)
        fields = [part for field, value in job.to_dict().items() if value is not None for part in (field, value)]
        history: tuple[Value, ...] = (cron.name, DEFAULT_CRON_JOB_HISTORY_LIMIT, DEFAULT_CRON_JOB_HISTORY_TTL)
        if self._write(lead, entry, last, firing, cron.queue_name, job.id, *history, *fields):
            late = round(max(0.0, lead.server_time - firing), 3)
            log.info("cron.enqueued", name=cron.name, job_id=job.id, queue=cron.queue_name, late=late)

    def _pass(self, lead: Lead, entry: Entry, last: str, firing: float) -> None:
        self._write(lead, entry, last, firing)

    def _write(self, lead: Lead, entry: Entry, last: str, firing: float, *rest: Value) -> bool:
        ran = repr(firing) if rest else last.partition("|")[2]
        written = self._leadership.act(lead, scripts.CRON, entry.key, last, f"{firing!r}|{ran}", *rest)
        _note(entry.job, firing, ran)
        return bool(written)

    def _show(self, lead: Lead, wait: float) -> None:
        """Write what RQ's CronScheduler writes, so that its tools list the schedule."""
        record: dict[str, Any] = {
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "name": SCHEDULER_NAME,
            "created_at": self._created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "config_file": "",
        }
        shown = CronScheduler(self._calls.redis, name=SCHEDULER_NAME)
        rq_private.set_cron_jobs(shown, [entry.job for entry in self._entries])
        record["cron_jobs"] = shown.to_dict()["cron_jobs"]
        flat = [part for pair in record.items() for part in pair]
        self._leadership.act(lead, scripts.CRON_SHOW, SCHEDULER_NAME, round(wait), DEFAULT_CRON_SCHEDULER_TTL, *flat)


def _due(job: CronJob, last: float, now: float) -> Due | None:
    if job.interval:
        firings = int((now - last) // job.interval)
        return Due(last + firings * job.interval, firings) if firings > 0 else None
    latest = 0.0
    for span in _SPANS:
        for firing in _firings(job, max(last, now - span), now):
            latest = firing
        if latest or now - span <= last:
            break
    if not latest:
        return None
    firings = 0
    for firings, _ in enumerate(_firings(job, last, now), 1):
        if firings >= MOST_MISSED:
            break
    return Due(latest, firings)


def _firings(job: CronJob, after: float, until: float) -> Iterator[float]:
    while True:
        job.latest_enqueue_time = _moment(after)
        after = job.get_next_enqueue_time().timestamp()
        if after > until:
            return
        yield after


def _note(job: CronJob, firing: float, ran: str) -> None:
    """Set the next firing of `job`, the one after `firing`, and when it ran last ("" = never), which may be earlier."""
    job.set_enqueue_time(_moment(firing))
    job.latest_enqueue_time = _moment(float(ran)) if ran else None


def _next(job: CronJob) -> float:
    return job.next_enqueue_time.timestamp() if job.next_enqueue_time else float("inf")


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
