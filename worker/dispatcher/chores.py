"""What a chore of the dispatcher is, and the list of all chores: a new one is added here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from worker.dispatcher.cron import Cron
from worker.dispatcher.cron_file import Entry, serializer_of
from worker.dispatcher.dead_letters import dead_letter_chore
from worker.dispatcher.heartbeats import Heartbeats
from worker.dispatcher.leader import LeaderOnly, Leadership
from worker.dispatcher.maintenance import Maintenance
from worker.dispatcher.rescue import RescueChore
from worker.dispatcher.scheduled_jobs import ScheduledJobs
from worker.dispatcher.strays import StrayChore
from worker.engine.payload import Payloads
from worker.engine.rescue import Rescuer
from worker.process.scoreboard import Scoreboard
from worker.redis.calls import ScriptCalls
from worker.settings import Settings

#: How long a new instance, or one after an outage, leaves strays alone.
STRAYS_AFTER_SECONDS: Final = 600.0


class Chore(Protocol):
    """Something that falls due again and again."""

    @property
    def due(self) -> float:
        """When it falls due next (monotonic)."""
        ...

    def run(self) -> None:
        """Do it once and set the next `due` (monotonic)."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What the chores of one dispatcher work with."""

    name: str  #: the dispatcher's
    settings: Settings
    scoreboard: Scoreboard
    calls: ScriptCalls
    leadership: Leadership
    payloads: Payloads
    rescuer: Rescuer
    schedule: Sequence[Entry]  #: what `cron_file.load` has read
    consumers_block: bool  #: whether consumers wait in claims of their own, so that nobody wakes them
    queues_watched: Callable[[], bool]  #: whether every queue is watched, by the doorbell or by a consumer


class Chores:
    """All chores, in the order in which they run; new ones are due at once, but for the rescue, which holds off."""

    def __init__(self, resources: Resources) -> None:
        settings, calls, board = resources.settings, resources.calls, resources.scoreboard
        leadership, rescuer = resources.leadership, resources.rescuer

        def calm() -> bool:
            return board.calm(queues_watched=resources.queues_watched())

        def deaths() -> int:
            return board.spawned() + rescuer.rescued

        #: The dispatcher wakes it when a queue has something.
        self.rescue = RescueChore(
            rescuer, monotonic(), calm, board.last_claim_at if resources.consumers_block else lambda: 0.0
        )
        self._all: list[Chore] = [
            Heartbeats(calls, board),
            self.rescue,
            ScheduledJobs(calls, settings.worker_queues, settings.worker_scheduler_interval, board.consumers),
            dead_letter_chore(settings, calls, resources.payloads, leadership, board.dead_letters, resources.name),
            Maintenance(calls, deaths, board.ended),
            # One instance does these for the whole fleet.
            LeaderOnly(leadership, StrayChore(calls, calm, self.rescue.wake), after=STRAYS_AFTER_SECONDS),
        ]
        if resources.schedule:
            cron = Cron(calls, leadership, resources.schedule, serializer_of(settings))
            self._all.append(LeaderOnly(leadership, cron))

    def __iter__(self) -> Iterator[Chore]:
        """Return every chore."""
        return iter(self._all)
