"""What surrounds a consumer: its slot, the stop flags, and how it is woken.

Under the supervisor the dispatcher watches the queues and wakes the consumers of the instance, which share one pipe. A
consumer that runs alone (`rq worker -w worker.consumer.Consumer`, tests, scripts) watches the queues itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from worker.consumer.command_listener import CommandListener
from worker.consumer.lease_keeper import LeaseKeeper
from worker.engine import pauses
from worker.engine.records import Paused
from worker.engine.rq_commands import RqCommands
from worker.process import forked
from worker.process.claim_turn import ClaimTurn
from worker.process.scoreboard import Header, Scoreboard
from worker.process.signals import Child
from worker.process.slot import Commands, RedisState, Slot
from worker.process.wakeup import Wakeup
from worker.redis.doorbell import Doorbell

#: An idle consumer asks by itself this often, in case a wake-up is ever lost.
SAFETY_POLL_SECONDS: Final = 300.0
#: The same while no dispatcher wakes it.
LONELY_POLL_SECONDS: Final = 1.0
#: A dispatcher whose loop has not turned for this long wakes nobody.
DISPATCHER_STALE_SECONDS: Final = 30.0
#: A sibling that has claimed within this time is at work on the same queues.
SIBLING_SECONDS: Final = 0.5
#: How long a lone worker that must stop tries to reach Redis.
ALONE_SECONDS: Final = 2.0
#: The longest sleep between two ticks on the scoreboard.
TICK_SECONDS: Final = 15.0


class Supervision(Protocol):
    """How a consumer learns that it must stop, and that there may be work."""

    slot: Slot
    child: Child

    @property
    def quiet(self) -> bool:
        """Whether nothing new may be claimed."""
        ...

    @property
    def commands_heard(self) -> bool:
        """Whether somebody hears RQ's commands to this consumer, or nobody will."""
        ...

    def ask_for_commands(self) -> None:
        """Let whoever hears commands try now: Redis can be reached."""
        ...

    @property
    def deadline(self) -> float:
        """Until when (monotonic) a stopping consumer may still talk to Redis."""
        ...

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Sleep until there may be something to claim, one of the fds in `also` can be read, a signal came, or
        `timeout` seconds have passed. Raises `RedisTrouble`."""
        ...

    def take_turn(self) -> bool:
        """Take the instance's turn to claim ahead (see ``claim_ahead.py``); False while a sibling has it."""
        ...

    def pass_turn(self) -> None:
        """Pass the turn on, if it is ours."""
        ...

    @property
    def woken(self) -> bool:
        """Whether the last wait ended because a queue had something."""
        ...

    def lost_race(self) -> bool:
        """Whether, when a wake-up brought nothing, somebody outside the instance was faster."""
        ...

    def answered(self) -> None:
        """Note that the server was asked after a wake-up: the queues may be watched again."""
        ...

    def wake_sibling(self) -> None:
        """Wake another consumer: more is waiting than one takes at once."""
        ...

    def note_scheduled(self, delay: float) -> None:
        """Note that a job was scheduled that is due in `delay` seconds."""
        ...

    def show_pauses(self, queues: Sequence[str], paused: Paused, *, suspended: bool) -> None:
        """Show what is paused, and whether `rq suspend` holds, to whoever watches the queues."""
        ...

    def redis_edge(self, state: RedisState, reason: str, commands: str) -> None:
        """Record that the connection to Redis came, or went for `reason`; see `Slot.redis_changed`."""
        ...

    def renew(self) -> None:
        """Make new pipes: a job has closed the old ones. They wake nobody, so the process must end."""
        ...

    def close(self) -> None:
        """Give back what this object holds."""
        ...


class Supervised:
    """A consumer in an instance: the dispatcher wakes it, and watches the queues when it is woken itself.

    With `turn` the consumers take turns at claiming ahead instead, and a wake-up calls the next one.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        slot: Slot,
        wake_consumers: Wakeup,
        wake_dispatcher: Wakeup,
        turn: ClaimTurn | None,
    ) -> None:
        self.slot = slot
        self.child = Child()
        self._header: Header = scoreboard.header
        self._dispatcher = scoreboard.dispatcher
        self._siblings = [other for other in scoreboard.consumers if other.index != slot.index]
        self._wake_consumers = wake_consumers
        self._wake_dispatcher = wake_dispatcher
        self._turn = turn
        self.woken = False
        for wakeup in (wake_consumers, wake_dispatcher):
            forked.give_up(wakeup.close)

    @property
    def quiet(self) -> bool:
        """Whether the supervisor has quieted the instance."""
        return bool(self._header.quiet)

    @property
    def commands_heard(self) -> bool:
        """Whether the dispatcher hears them; without a supervisor there is none."""
        return self.slot.commands != Commands.UNHEARD or not self._header.supervisor_pid

    def ask_for_commands(self) -> None:
        """Wake the dispatcher, even from its wait in an outage."""
        self.slot.commands_wanted_at = monotonic()
        self._wake_dispatcher.send()

    @property
    def deadline(self) -> float:
        """When the supervisor's grace ends."""
        return self._header.deadline

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Wake the dispatcher, then sleep until it wakes us; or sleep until the turn is free."""
        tick()  # first, because the dispatcher watches the queues only while it sees a consumer waiting
        if self._turn is None:
            self._wake_dispatcher.send()
        until = monotonic() + timeout
        while not self.child.stopping and not self.take_turn():
            now = monotonic()
            lonely = not self._dispatcher.pid or now - self._dispatcher.heartbeat > DISPATCHER_STALE_SECONDS
            stale = (self._turn is None and lonely) or self._dispatcher.redis_state == RedisState.OUTAGE
            left = (min(until, now + LONELY_POLL_SECONDS) if stale else until) - now
            if left <= 0:
                return
            tick()
            ready = self.child.wait(min(left, TICK_SECONDS), [self._wake_consumers.fileno(), *also])
            self.woken = self._wake_consumers.fileno() in ready and self._wake_consumers.take()
            if self.woken or stale or any(fd in ready for fd in also):
                return

    def take_turn(self) -> bool:
        """Take the turn if nobody has it."""
        return self._turn is not None and self._turn.take()

    def pass_turn(self) -> None:
        """Free the turn and wake a sibling to take it."""
        if self._turn is not None and self._turn.give_back():
            self._wake_consumers.send()

    def lost_race(self) -> bool:
        """Whether no sibling has claimed just now: with one of ours at work the next job may come to us."""
        just_now = monotonic() - SIBLING_SECONDS
        return not any(slot.claimed_at > just_now for slot in self._siblings)

    def answered(self) -> None:
        """Let the dispatcher watch the queues again."""
        if self.woken and self._turn is None:
            self._wake_dispatcher.send()
        self.woken = False

    def wake_sibling(self) -> None:
        """Wake one of the consumers that sleep."""
        self._wake_consumers.send()

    def note_scheduled(self, delay: float) -> None:
        """Show the dispatcher when the job is due, so that it need not look for it."""
        self.slot.note_scheduled(delay)
        self._wake_dispatcher.send()

    def show_pauses(self, queues: Sequence[str], paused: Paused, *, suspended: bool) -> None:
        """Show it on the scoreboard; dispatcher and health endpoint read it there."""
        pauses.show(self._header, queues, paused, suspended=suspended)

    def redis_edge(self, state: RedisState, reason: str, commands: str) -> None:
        """Show it on the scoreboard; the first connection of the instance is what deploys wait for."""
        self.slot.redis_changed(state, reason, commands)
        if state == RedisState.CONNECTED:
            self._header.ever_connected = 1

    def renew(self) -> None:
        """Make new pipes."""
        for pipe in (self.child, self._wake_consumers, self._wake_dispatcher):
            pipe.renew()

    def close(self) -> None:
        """Pass the turn on; all else ends with the process."""
        self.pass_turn()
        for wakeup in (self._wake_consumers, self._wake_dispatcher):
            forked.keep(wakeup.close)


class Standalone:
    """A consumer without an instance around it: it has its own slot, doorbell, and thread that hears commands.

    And the helper process that `make_keeper` forks, for which no thread must have been started before.
    """

    def __init__(
        self,
        make_doorbell: Callable[[], Doorbell],
        make_commands: Callable[[Slot], RqCommands],
        make_keeper: Callable[[Slot], LeaseKeeper],
    ) -> None:
        self._scoreboard = Scoreboard(max_consumers=1)
        self.slot = self._scoreboard.consumers[0]
        self._keeper = make_keeper(self.slot)
        self.child = Child(alone=True)
        self._listener = CommandListener(make_commands(self.slot))
        self._make_doorbell = make_doorbell
        self._doorbell: Doorbell | None = None
        self._deadline: float | None = None

    @property
    def quiet(self) -> bool:
        """Nobody can quiet it."""
        return False

    @property
    def commands_heard(self) -> bool:
        """Whether the thread hears them."""
        return self.slot.commands != Commands.UNHEARD

    def ask_for_commands(self) -> None:
        """Wake the thread, even from its wait in an outage."""
        self._listener.wake()

    @property
    def deadline(self) -> float:
        """Two seconds after it is first asked for in a stop: a lone worker does not wait for Redis to come back."""
        if not self.child.stopping:
            return math.inf  # a burst that is over, say: what it has done is worth waiting for
        if self._deadline is None:
            self._deadline = monotonic() + ALONE_SECONDS
        return self._deadline

    def wait_for_work(self, timeout: float, tick: Callable[[], None], also: Sequence[int] = ()) -> None:
        """Watch the queues until one has something."""
        if self._doorbell is None:
            self._doorbell = self._make_doorbell()
        until = monotonic() + timeout
        while not self.child.stopping and (left := until - monotonic()) > 0:
            tick()
            self._doorbell.arm(self._scoreboard.header.closed)
            ready = self.child.wait(min(left, TICK_SECONDS), [*self._doorbell.filenos(), *also])
            if ready and (self._doorbell.rung() or any(fd in ready for fd in also)):
                return

    def take_turn(self) -> bool:
        """There is nobody else."""
        return True

    def pass_turn(self) -> None:
        """There is nobody else."""

    @property
    def woken(self) -> bool:
        """A worker alone has no dispatcher that wakes others too."""
        return False

    def lost_race(self) -> bool:
        """There are no siblings."""
        return True

    def answered(self) -> None:
        """Nobody watches the queues for it."""

    def wake_sibling(self) -> None:
        """Nobody to wake."""

    def note_scheduled(self, delay: float) -> None:
        """Nobody to show it to: whoever schedules for this worker looks for it."""

    def show_pauses(self, queues: Sequence[str], paused: Paused, *, suspended: bool) -> None:
        """Note it for the own doorbell."""
        pauses.show(self._scoreboard.header, queues, paused, suspended=suspended)

    def redis_edge(self, state: RedisState, reason: str, commands: str) -> None:
        """Note it on the slot."""
        self.slot.redis_changed(state, reason, commands)

    def renew(self) -> None:
        """Make new pipes."""
        self.child.renew()
        self._listener.renew()

    def close(self) -> None:
        """Close the connections of doorbell and thread, and give the signals back."""
        self._listener.close()
        if self._doorbell is not None:
            self._doorbell.close()
        self.child.close()
        self._keeper.close()
