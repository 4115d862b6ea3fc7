"""The sentence on top of the page, and the list of what needs a person, each with what to do and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from worker.console.requests import Request
from worker.console.shelf import Seen
from worker.fleet.autoscaler import Autoscaler
from worker.fleet.decision import Reason
from worker.fleet.server import Server
from worker.fleet.state import Concern, Fleet
from worker.settings import Settings
from worker.text import counted, duration

#: A consumer whose last heartbeat is older is not counted on.
SILENT_SECONDS: Final = 120.0
_SCALER_TROUBLE: Final = frozenset(
    {Reason.AT_MAXIMUM, Reason.NO_CONSUMERS, Reason.SERVICE_SUSPENDED, Reason.RENDER_SCALES, Reason.API_AWAY}
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs a person. `bad`: jobs do not run because of it. `fix` says what to do, `href` where."""

    sentence: str
    fix: str = ""
    href: str = ""
    link: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`level` is one of well, look, bad and unknown."""

    level: str
    sentence: str
    items: tuple[Item, ...] = ()


def judge(
    request: Request, seen: Seen[Fleet], settings: Settings, server: Server | None, scaler: Autoscaler | None
) -> Verdict:
    """Judge what was seen last."""
    fleet = seen.value
    if fleet is None:
        return Verdict("unknown", "The fleet has not been seen yet.", (_away(seen),) if seen.trouble else ())
    items = [*([_away(seen)] if seen.trouble else []), *_of_fleet(request, fleet, settings)]
    if server is not None:
        items += [Item(sentence) for sentence in server.attention()]
    decision = scaler.decision if scaler else None
    if decision is not None and decision.reason in _SCALER_TROUBLE:
        items.append(Item(f"The autoscaler cannot help: {decision.sentence}"))
    items.sort(key=lambda item: not item.bad)
    if not items:
        return Verdict("well", f"All is well: {_calm(fleet)}.")
    bad = sum(item.bad for item in items)
    if bad:
        sentence = items[0].sentence if bad == 1 else f"{bad} things keep jobs from running."
        return Verdict("bad", sentence, tuple(items))
    working = _calm(fleet)
    sentence = "One thing to look at" if len(items) == 1 else f"{len(items)} things to look at"
    return Verdict("look", f"{sentence}; {working}.", tuple(items))


def _away(seen: Seen[Fleet]) -> Item:
    shown = f" What you see is {duration(seen.age)} old." if seen.value is not None else ""
    return Item(f"Redis does not answer the console.{shown}", seen.trouble, bad=True)


def _of_fleet(request: Request, fleet: Fleet, settings: Settings) -> Iterator[Item]:
    ours = set(settings.worker_queues)
    read = {name for consumer in fleet.consumers for name in consumer.queues}
    if not fleet.consumers:
        yield Item(
            "No consumer is alive.",
            "Start the service, or look at its log: `python -m worker run`. Jobs wait until then.",
            request.url("/fleet"),
            "Fleet",
            bad=True,
        )
    for concern in fleet.concerns():
        yield _of_concern(request, fleet, concern)
    for queue in fleet.queues:
        if queue.name in ours and queue.name in read and (queue.next_waits or 0.0) > settings.monitor_max_wait:
            yield Item(
                f"The oldest job on {queue.name!r} has waited {duration(queue.next_waits or 0.0)}, longer than "
                f"{duration(settings.monitor_max_wait)}.",
                "Add consumers or instances, or find what takes so long.",
                request.url("/jobs", queue=queue.name, status="queued"),
                "What waits",
            )
    silent = [one for one in fleet.consumers if one.heard is not None and one.heard > SILENT_SECONDS]
    if silent:
        yield Item(
            f"{counted(len(silent), 'consumer has', 'consumers have')} been silent for longer than "
            f"{duration(SILENT_SECONDS)}.",
            "A dead one's jobs are taken over within a minute of its record's end.",
            request.url("/fleet"),
            "Fleet",
        )
    if fleet.dead_letters:
        yield Item(
            f"{counted(fleet.dead_letters, 'job has', 'jobs have')} failed for good.",
            "Look at why, mend the cause, and replay them; a few first.",
            request.url("/dead"),
            "Dead letters",
        )


def _of_concern(request: Request, fleet: Fleet, concern: Concern) -> Item:
    bad = fleet.suspended and concern.page == "queues" and not concern.about
    unread = {queue.name for queue in fleet.queues if queue.waiting and not queue.consumers}
    bad = bad or concern.about in unread
    if concern.page == "jobs" and concern.about:
        return Item(concern.sentence, "", request.job_url(concern.about), "The job", bad)
    if concern.about in unread:
        fix = f"Name it in WORKER_QUEUES of a service: `WORKER_QUEUES={concern.about},…`"
        return Item(concern.sentence, fix, f"{request.url('/queues')}#{quote(concern.about)}", "The queue", bad)
    return Item(concern.sentence, "", request.url(f"/{concern.page}"), concern.page.capitalize(), bad)


def _calm(fleet: Fleet) -> str:
    longest = max((queue.next_waits or 0.0 for queue in fleet.queues), default=0.0)
    some = any(queue.waiting for queue in fleet.queues)
    wait = f"nothing waits longer than {_rounded(longest)}" if some else "nothing waits"
    return f"{counted(len(fleet.consumers), 'consumer')}, {wait}"


def _rounded(seconds: float) -> str:
    return "1 s" if seconds <= 1 else duration(seconds)
