"""How a consumer waits for work: on its seat, or at the watch with a claim that stands ready."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from worker import backoff
from worker.consumer.claim_ahead import Watch
from worker.consumer.supervision import SAFETY_POLL_SECONDS, TICK_SECONDS
from worker.consumer.threads import Crew
from worker.engine.records import Claim, Exchange
from worker.process.slot import State

if TYPE_CHECKING:
    from worker.consumer import Consumer

#: A push wakes every instance that waits. One that comes too late leaves the queue to the others for a moment, which
#: doubles up to the cap: however many jobs come, an idle instance asks for nothing about ten times a second at most.
LATE_SECONDS: Final = 0.01
LATE_CAP_SECONDS: Final = 0.2
#: While `rq suspend` or TSTP holds.
PAUSE_SECONDS: Final = 1.0


class Waiting:
    """The waits of `consumer`, of `longest` seconds at most; `watch` is None when another process has the watch."""

    def __init__(self, consumer: Consumer, watch: Watch | None, longest: float | None) -> None:
        self._consumer = consumer
        self._seat = consumer.seat
        self._slot = consumer.slot
        self._child = consumer.child
        self._watch = watch
        self._longest = SAFETY_POLL_SECONDS if longest is None else min(SAFETY_POLL_SECONDS, longest)
        self._lost_races = 0

    def for_jobs(self, *, paused: bool) -> list[Claim]:
        """Sleep until there may be something to do; returns what the standing claim has brought."""
        if paused or self._seat.quiet:
            self._tick()
            self._child.wait(PAUSE_SECONDS)
            return []
        try:
            if self._watch is None or not self._seat.take_watch():
                self._seat.wait_for_work(self._longest, self._tick)
            if self._watch is not None and self._seat.take_watch():
                return self._keep_watch(self._watch)
        except (RedisError, OSError) as error:
            self._consumer.ride_out(error)
        return []

    def with_crew(self, crew: Crew) -> None:
        """Sleep until a thread is done or, if one is free, until there may be more to claim."""
        if self._consumer.want() and not self._consumer.burst:
            self._seat.wait_for_work(SAFETY_POLL_SECONDS, self._tick, [crew.fileno()])
        else:
            self._tick()
            self._child.wait(PAUSE_SECONDS, [crew.fileno()])
        crew.answer()

    def stand_back(self) -> None:
        """Leave the queue to others for a moment: they were faster."""
        self._lost_races += 1
        self._tick()
        self._child.wait(backoff.full_jitter(self._lost_races, base=LATE_SECONDS, cap=LATE_CAP_SECONDS))

    def won(self) -> None:
        """Note that there was something to claim."""
        self._lost_races = 0

    def _keep_watch(self, watch: Watch) -> list[Claim]:
        exchange = Exchange()
        try:
            watch.begin(self._consumer.want(), self._longest)
            self._slot.blocking_since = monotonic()
            while not self._child.stopping and not self._seat.quiet:
                self._tick()
                if self._child.wait(TICK_SECONDS, [watch.fileno()]) and watch.answered():
                    exchange = watch.finish()
                    self._slot.claimed_at = monotonic()
                    break
                watch.overdue()
        finally:
            self._slot.blocking_since = 0.0
            if watch.abandon():
                self._consumer.recovery.doubt()
        if watch.rung and not exchange.claims and self._seat.beaten():
            self.stand_back()
        self._seat.pass_watch()
        self._consumer.took(exchange)
        return exchange.claims

    def _tick(self) -> None:
        self._slot.tick(State.WAITING)
