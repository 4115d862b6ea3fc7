"""The monitor: reads the state of the fleet from Redis, for platforms that cannot probe each instance.

A thread reads (and lets the autoscaler decide) every few seconds and publishes the result as one immutable `View`; the
HTTP side only reads that, so it answers while Redis is away.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker import logs
from worker.fleet import reading
from worker.fleet.autoscaler import Autoscaler
from worker.fleet.history import History
from worker.fleet.state import Fleet
from worker.keys import Keys
from worker.process.slot import RedisState
from worker.redis.client import Client
from worker.redis.outage import Outage
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings

log = logs.get_logger()

#: How long a stopping monitor waits for the look that is under way.
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class View:
    """What was seen last. Times are `time.monotonic()`; `fleet` is None until Redis has answered once.

    `redis` and `cause` describe the connection since `since`; `turned_at` is the loop's last turn; `idle_since` is None
    while something waits or runs.
    """

    turned_at: float
    since: float
    fleet: Fleet | None = None
    seen_at: float = 0.0
    redis: RedisState = RedisState.UNKNOWN
    cause: str = ""
    idle_since: float | None = None


class Monitor:
    """Looks again and again until `stop` is called. `autoscaler` is None when there is none."""

    def __init__(self, settings: Settings, redis: Redis, autoscaler: Autoscaler | None) -> None:
        self.settings = settings
        self.autoscaler = autoscaler
        now = monotonic()
        self.started_at = now
        self.view = View(turned_at=now, since=now)
        self.crashed = False
        self.history = History()
        self._redis, self._keys = Client.over(redis), Keys(RQ_KEY_PREFIX)
        self._outage = Outage(self._edge, reports=True)
        self._over = threading.Event()
        self._wake = threading.Event()
        self._rest_until = 0.0
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Start to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and let another monitor scale."""
        self._over.set()
        self._wake.set()
        self._thread.join(STOP_SECONDS)

    def hurry(self) -> None:
        """Look at once: somebody has changed something and wants to see it."""
        self._wake.set()

    def look(self) -> float:
        """Look once and let the autoscaler decide; returns the seconds until the next look."""
        try:
            self.see()
            self.scale()
            self._outage.over()
        except RedisTrouble as trouble:
            self._outage.note(trouble)
            self._turn(idle_since=None)
            return self._outage.delay()
        return self.settings.monitor_interval

    def see(self) -> None:
        """Read the fleet and publish it."""
        names = self.settings.worker_queues
        seen = reading.read(self._redis, self._keys, names, self.settings.dead_letter_queue)
        busy = any((one.waiting and not one.paused) or one.running for one in seen.queues if one.name in names)
        now = monotonic()
        self.history.add(now, seen)
        since = None if busy else self.view.idle_since if self.view.idle_since is not None else now
        self._turn(fleet=seen, seen_at=now, idle_since=since)

    def scale(self) -> None:
        """Let the autoscaler decide on what was just seen."""
        seen, now = self.view.fleet, monotonic()
        if self.autoscaler is None or seen is None or now < self._rest_until:
            return
        idle_for = now - self.view.idle_since if self.view.idle_since is not None else 0.0
        self.autoscaler.run(seen, self.settings.worker_queues, idle_for)
        self._rest_until = now + self.autoscaler.rests_for

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._wake.clear()
                self._wake.wait(self.look())
            if self.autoscaler is not None:
                self.autoscaler.give_up_lead()
        except RedisTrouble as trouble:  # only on the way out: the lead lapses by itself
            log.warning("monitor.lead_not_given_up", error=trouble.code)
        except BaseException:
            log.exception("monitor.crashed")
            self.crashed = True

    def _turn(self, **seen: object) -> None:
        self.view = replace(self.view, turned_at=monotonic(), **seen)  # type: ignore[arg-type]

    def _edge(self, state: RedisState, reason: str, _commands: str) -> None:
        self.view = replace(self.view, redis=state, cause=reason, since=monotonic())
