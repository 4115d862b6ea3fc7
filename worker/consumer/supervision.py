"""What a consumer sits on: its slot, the stop flags and its way of waiting for work.

Under the supervisor the dispatcher watches the queues and rings a bell that all consumers of the instance share. A
consumer that runs alone (`rq worker -w worker.consumer.Consumer`, tests, scripts) watches them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from worker.process.claim_turn import ClaimTurn
from worker.process.scoreboard import Header, Scoreboard
from worker.process.signals import Child
from worker.process.slot import RedisState, Slot
from worker.process.wakeup import Wakeup
from worker.redis.doorbell import Doorbell

#: An idle consumer looks for itself this often, should a ring ever get lost.
SAFETY_POLL_SECONDS: Final = 300.0
#: The same while no dispatcher rings.
LONELY_POLL_SECONDS: Final = 1.0
#: A dispatcher whose loop has not turned for so long does not ring.
DISPATCHER_STALE_SECONDS: Final = 30.0
#: A sibling that has claimed within this time is at work on the same queues.
SIBLING_SECONDS: Final = 0.5
#: The longest sleep between two ticks on the scoreboard.
TICK_SECONDS: Final = 15.0


class Seat(Protocol):
    """How a consumer is told to stop, and how it waits."""

    slot: Slot
    child: Child

    @property
    def quiet(self) -> bool:
        """Whether nothing new may be claimed."""
        ...

    @property
    def deadline(self) -> float:
        """Until when (monotonic) a stopping consumer may still talk to Redis."""
        ...

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Sleep until there may be something to claim, one of the fds in `also` can be read, a signal came, or
        `timeout` seconds have passed."""
        ...

    def take_watch(self) -> bool:
        """Take the instance's watch (see ``watch.py``); False while a sibling keeps it."""
        ...

    def pass_watch(self) -> None:
        """Pass the watch on, if it is ours."""
        ...

    @property
    def rung(self) -> bool:
        """Whether the last wait ended because a queue had something."""
        ...

    def beaten(self) -> bool:
        """Whether, when a wake-up brought nothing, somebody outside the instance was faster."""
        ...

    def claimed(self) -> None:
        """Say that the server was asked after a wake-up: the queues may be watched again."""
        ...

    def nudge(self) -> None:
        """Wake another sleeper: more is waiting than one consumer takes at once."""
        ...

    def put_off(self, delay: float) -> None:
        """Say that a job was scheduled that is due in `delay` seconds."""
        ...

    def redis_edge(self, state: RedisState, reason: str) -> None:
        """Record that the connection to Redis came, or went for `reason`."""
        ...

    def close(self) -> None:
        """Give back what the seat holds."""
        ...


class Supervised:
    """A seat in an instance: `bell` is rung by the dispatcher, `hail` asks it to watch the queues.

    With `watch` the consumers take turns at it instead, and the bell calls the next one.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        slot: Slot,
        wake_consumers: Wakeup,
        wake_dispatcher: Wakeup,
        watch: ClaimTurn | None,
    ) -> None:
        self.slot = slot
        self.child = Child()
        self._header: Header = scoreboard.header
        self._dispatcher = scoreboard.dispatcher
        self._siblings = [other for other in scoreboard.consumers if other.index != slot.index]
        self._wake_consumers = wake_consumers
        self._wake_dispatcher = wake_dispatcher
        self._watch = watch
        self.rung = False

    @property
    def quiet(self) -> bool:
        """Whether the supervisor was told to quiet the instance."""
        return bool(self._header.quiet)

    @property
    def deadline(self) -> float:
        """When the supervisor's grace ends."""
        return self._header.deadline

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Hail the dispatcher, then sleep on the bell; or sleep until the watch is free."""
        tick()  # first, because the dispatcher watches the queues only while it sees somebody waiting
        if self._watch is None:
            self._wake_dispatcher.send()
        until = monotonic() + timeout
        while not self.child.stopping and not self.take_watch():
            now = monotonic()
            lonely = not self._dispatcher.pid or now - self._dispatcher.heartbeat > DISPATCHER_STALE_SECONDS
            stale = (self._watch is None and lonely) or self._dispatcher.redis_state == RedisState.OUTAGE
            left = (min(until, now + LONELY_POLL_SECONDS) if stale else until) - now
            if left <= 0:
                return
            tick()
            ready = self.child.wait(min(left, TICK_SECONDS), [self._wake_consumers.fileno(), *also])
            self.rung = self._wake_consumers.fileno() in ready and self._wake_consumers.take()
            if self.rung or stale or any(fd in ready for fd in also):
                return

    def take_watch(self) -> bool:
        """Take it if nobody has it."""
        return self._watch is not None and self._watch.take()

    def pass_watch(self) -> None:
        """Free it and wake a sleeper to take it."""
        if self._watch is not None and self._watch.give_back():
            self._wake_consumers.send()

    def beaten(self) -> bool:
        """Whether no sibling has claimed just now: with one of ours at work the next job may come to us."""
        just_now = monotonic() - SIBLING_SECONDS
        return not any(slot.claimed_at > just_now for slot in self._siblings)

    def claimed(self) -> None:
        """Tell the dispatcher that its ring was answered."""
        if self.rung and self._watch is None:
            self._wake_dispatcher.send()
        self.rung = False

    def nudge(self) -> None:
        """Ring for a sibling."""
        self._wake_consumers.send()

    def put_off(self, delay: float) -> None:
        """Tell the dispatcher, which then need not look for it."""
        self.slot.note_scheduled(delay)
        self._wake_dispatcher.send()

    def redis_edge(self, state: RedisState, reason: str) -> None:
        """Show it on the scoreboard; the first connection of the instance is what deploys wait for."""
        self.slot.redis_changed(state, reason)
        if state == RedisState.CONNECTED:
            self._header.ever_connected = 1

    def close(self) -> None:
        """Pass the watch on; all else ends with the process."""
        self.pass_watch()


class Alone:
    """A seat without an instance around it: its own slot, and a doorbell of its own."""

    def __init__(self, make_doorbell: Callable[[], Doorbell]) -> None:
        self._scoreboard = Scoreboard(max_consumers=1)
        self.slot = self._scoreboard.consumers[0]
        self.child = Child(alone=True)
        self._make_doorbell = make_doorbell
        self._doorbell: Doorbell | None = None

    @property
    def quiet(self) -> bool:
        """Nobody can quiet it."""
        return False

    @property
    def deadline(self) -> float:
        """Two seconds from now: a lone worker that stops does not wait for Redis to come back."""
        return monotonic() + 2.0

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Watch the queues until one has something."""
        if self._doorbell is None:
            self._doorbell = self._make_doorbell()
        until = monotonic() + timeout
        while not self.child.stopping and (left := until - monotonic()) > 0:
            tick()
            self._doorbell.arm()
            ready = self.child.wait(min(left, TICK_SECONDS), [*self._doorbell.filenos(), *also])
            if ready and (self._doorbell.rung() or any(fd in ready for fd in also)):
                return

    def take_watch(self) -> bool:
        """There is nobody else."""
        return True

    def pass_watch(self) -> None:
        """There is nobody else."""

    @property
    def rung(self) -> bool:
        """A worker alone has no dispatcher that rings for others too."""
        return False

    def beaten(self) -> bool:
        """There are no siblings."""
        return True

    def claimed(self) -> None:
        """Nobody to tell."""

    def nudge(self) -> None:
        """Nobody to wake."""

    def put_off(self, delay: float) -> None:
        """Nobody to tell: whoever schedules for this worker looks for it."""

    def redis_edge(self, state: RedisState, reason: str) -> None:
        """Note it on the slot."""
        self.slot.redis_changed(state, reason)

    def close(self) -> None:
        """Close the doorbell's connections and give the signals back."""
        if self._doorbell is not None:
            self._doorbell.close()
        self.child.close()
