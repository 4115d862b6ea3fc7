"""What a chore of the dispatcher is, and the list of all chores: a new one is added here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol

from redis.exceptions import ResponseError

from worker import backoff, logs
from worker.dispatcher.clock import ClockWatch
from worker.dispatcher.cron import Cron
from worker.dispatcher.cron_file import Entry, serializer_of
from worker.dispatcher.dead_letters import dead_letter_chores
from worker.dispatcher.heartbeats import Heartbeats
from worker.dispatcher.key_types import KeyTypes
from worker.dispatcher.leader import LeaderOnly, Leadership
from worker.dispatcher.maintenance import Maintenance
from worker.dispatcher.rescue import RescueChore
from worker.dispatcher.scheduled_jobs import ScheduledJobs
from worker.dispatcher.strays import StrayChore
from worker.engine.payload import Payloads
from worker.engine.rescue import Rescuer
from worker.process.scoreboard import Scoreboard
from worker.redis.calls import ScriptCalls
from worker.redis.translate import answer_in
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings

log = logs.get_logger()

#: The first wait of a chore that was refused, and the longest.
BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
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


class Independent:
    """A chore whose refusals and faults concern no other: it is tried again later, with a backoff of its own.

    A server that is away is trouble of all chores and passes (`RedisTrouble`).
    """

    def __init__(self, name: str, chore: Chore, wrong_type: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._wrong_type = wrong_type  #: called when a key holds something else
        self._chore = chore
        self._not_before = 0.0
        self._failures = 0
        self._said = ""
        self.refused = ""  #: the commands that the server refuses to it: ``HSET, XADD``

    @property
    def due(self) -> float:
        """When it falls due next (monotonic)."""
        return max(self._chore.due, self._not_before)

    def run(self) -> None:
        """Do it once."""
        try:
            self._chore.run()
        except (RedisTrouble, ResponseError) as error:
            if isinstance(error, RedisTrouble) and not error.refuses_this:
                raise
            if isinstance(error, RedisTrouble) and error.code == "wrong_type":
                self._wrong_type()
            fix = error.trouble.fix if isinstance(error, RedisTrouble) else None
            self.refused = error.commands if isinstance(error, RedisTrouble) else ""
            self._put_off(answer_in(error), fix=fix)
        except Exception as error:  # noqa: BLE001 — a fault of ours, or a record that no check expects: the others go on
            self._put_off(f"{type(error).__name__}: {error}", exc_info=error)
        else:
            if self._failures:
                log.info("chore.recovered", chore=self.name, failures=self._failures)
            self._failures, self._not_before, self._said, self.refused = 0, 0.0, "", ""

    def _put_off(self, why: str, **more: Any) -> None:
        self._failures += 1
        self._not_before = monotonic() + backoff.full_jitter(self._failures, base=BASE_SECONDS, cap=CAP_SECONDS)
        if why != self._said:  # once for each reason, not for each try
            log.error("chore.failed", chore=self.name, error=why[:500], **more)
        self._said = why


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
        interval = settings.worker_scheduler_interval
        self.scheduled_jobs = ScheduledJobs(
            calls,
            settings.worker_queues,
            interval,
            board.consumers,
            header=board.header,
            name=resources.name,
            rare=settings.pace.rare,
            ended=board.ended,
        )
        letters, bound = dead_letter_chores(settings, calls, resources.payloads, leadership, board, resources.name)
        # One instance does these for the whole fleet.
        strays = LeaderOnly(leadership, StrayChore(calls, calm, self.rescue.wake), after=STRAYS_AFTER_SECONDS)
        types = KeyTypes(calls, settings.worker_queues, settings.dead_letter_queue)
        intervals = [entry.key for entry in resources.schedule if entry.job.interval]
        chores: dict[str, Chore] = {
            "clock": ClockWatch(calls, settings.worker_queues, intervals, asks=bool(resources.schedule)),
            "heartbeats": Heartbeats(calls, board),
            "rescue": self.rescue,
            "scheduled jobs": self.scheduled_jobs,
            "dead letters": letters,
            "bound of dead letters": bound,
            "maintenance": Maintenance(calls, deaths, board.ended),
            "strays": strays,
            "key types": types,
        }
        if resources.schedule:
            cron = Cron(calls, leadership, resources.schedule, serializer_of(settings))
            chores["cron"] = LeaderOnly(leadership, cron)
        self._all = [Independent(name, chore, types.look_soon) for name, chore in chores.items()]

    def __iter__(self) -> Iterator[Independent]:
        """Return every chore."""
        return iter(self._all)

    @property
    def refused(self) -> str:
        """The chores to which the server refuses commands: ``rescue (ZADD, ZREM), strays (LPOS)``; "" for none."""
        return ", ".join(f"{chore.name} ({chore.refused})" for chore in self._all if chore.refused)
