"""What the pages are about: the settings, Redis, and what was read of it last."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from threading import Lock
from time import monotonic, sleep
from typing import Final, TypeVar

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker import queue
from worker.console.actions.replays import Replays
from worker.console.reading.dead import Surveys
from worker.console.shelf import Seen, Shelf
from worker.dead_letters.queue import DeadLetterQueue
from worker.fleet import reading
from worker.fleet.autoscaler import Autoscaler
from worker.fleet.history import History
from worker.fleet.monitor import Monitor
from worker.fleet.state import Fleet
from worker.keys import Keys
from worker.process.slot import RedisState
from worker.redis.client import Client
from worker.redis.troubles import TROUBLES
from worker.settings import Settings

T = TypeVar("T")

#: The console's threads, and replays that go on behind them.
_CONNECTIONS: Final = 16
#: Sentences about what was done, for the page after it.
_MOST_NOTES: Final = 100
#: How long an answer waits for the monitor's next look, so that the page after it shows what was done.
_HURRY_SECONDS: Final = 0.5


class Site:
    """One console. With a `monitor` it shows what that has read; else it reads the fleet itself when somebody looks."""

    def __init__(self, settings: Settings, monitor: Monitor | None = None) -> None:
        self.settings = settings
        self.keys = Keys(RQ_KEY_PREFIX)
        self.shelf = Shelf()
        self.notes = Notes()
        self.surveys = Surveys(lambda: self.dead_letters)
        self.replays = Replays()
        self._monitor = monitor
        self._own_history = History()

    @cached_property
    def redis(self) -> Redis:
        """Return the console's client; it connects when it is first used. Raises `RedisTrouble` (bad_url)."""
        name = f"{self.settings.instance}.console"
        return Client.over(queue.build_client(self.settings, client_name=name, max_connections=_CONNECTIONS))

    @cached_property
    def dead_letters(self) -> DeadLetterQueue:
        """Return the dead-letter queue."""
        return DeadLetterQueue(self.redis, RQ_KEY_PREFIX, self.settings.dead_letter_queue)

    @property
    def history(self) -> History:
        """Return what was seen within the last hour."""
        return self._own_history if self._monitor is None else self._monitor.history

    @property
    def autoscaler(self) -> Autoscaler | None:
        """Return the autoscaler of this process."""
        return None if self._monitor is None else self._monitor.autoscaler

    def close(self) -> None:
        """Stop what goes on, and close the connections."""
        self.replays.stop()
        self.surveys.close()
        if "redis" in self.__dict__:
            self.redis.close()

    def forget(self) -> None:
        """Read everything anew at the next look, because somebody has changed something."""
        self.shelf.forget()
        self.surveys.forget()
        if self._monitor is not None:
            seen_at, until = self._monitor.view.seen_at, monotonic() + _HURRY_SECONDS
            self._monitor.hurry()
            while self._monitor.view.seen_at == seen_at and monotonic() < until:
                sleep(0.01)

    def fleet(self) -> Seen[Fleet]:
        """Return the fleet as it was seen last."""
        if self._monitor is None:
            return self.look("fleet", self._read_fleet, fresh=self.settings.monitor_interval)
        view = self._monitor.view
        age = monotonic() - view.seen_at if view.fleet else 0.0
        if view.redis is RedisState.CONNECTED:
            return Seen(view.fleet, age)
        known = TROUBLES.get(view.cause)
        trouble = f"{known.sentence} {known.fix}" if known else "Redis has not answered yet."
        return Seen(view.fleet, age, trouble if view.fleet is None or view.redis is RedisState.OUTAGE else "")

    def known_fleet(self) -> Fleet | None:
        """Return the fleet as it was seen last, without looking again."""
        return self.shelf.known("fleet") if self._monitor is None else self._monitor.view.fleet

    def look(self, key: Hashable, read: Callable[[], T], *, fresh: float = 2.0) -> Seen[T]:
        """Read something, or return what was read last; see `Shelf.look`."""
        return self.shelf.look(key, read, fresh=fresh)

    def _read_fleet(self) -> Fleet:
        settings = self.settings
        seen = reading.read(self.redis, self.keys, settings.worker_queues, settings.dead_letter_queue)
        self._own_history.add(monotonic(), seen)
        return seen


class Notes:
    """Sentences that one answer leaves for the next page, by a name that nobody guesses: a link brings none along."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, str] = OrderedDict()

    def leave(self, sentence: str) -> str:
        """Keep a sentence; returns its name."""
        name = secrets.token_hex(8)
        with self._lock:
            self._kept[name] = sentence
            while len(self._kept) > _MOST_NOTES:
                self._kept.popitem(last=False)
        return name

    def read(self, name: str) -> str:
        """Return a sentence; "" if it is gone."""
        with self._lock:
            return self._kept.get(name, "")
