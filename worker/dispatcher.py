"""The dispatcher: what an instance needs once, however many consumers it has.

It rings the consumers' bell when a queue they wait for has something, keeps their registrations and claims alive, moves
scheduled jobs that are due, and rescues what dead workers left behind. Each chore is an object with a `due` time and a
`run`; the loop sleeps on the doorbell's sockets until the next one is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final, Protocol

from redis.exceptions import RedisError
from rq.defaults import DEFAULT_RESULT_TTL, RQ_KEY_PREFIX

from worker import logs, queue, sentry
from worker.bell import Bell
from worker.claims import BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, Claims
from worker.doorbell import Doorbell
from worker.exits import Exit
from worker.orders import Orders
from worker.outage import Outage
from worker.outcomes import Deciding
from worker.payload import Payloads
from worker.pulse import Pulse
from worker.rescue import Rescuer
from worker.ringing import Ringing
from worker.scoreboard import Scoreboard, Slot, State
from worker.settings import Settings
from worker.signals import Child
from worker.watch import consumers_watch

log = logs.get_logger()

#: Busy consumers are kept alive this often: three times within the life that a claim gives them.
BUSY_HEARTBEAT_SECONDS: Final = BUSY_TTL_SECONDS / 3
#: Idle consumers have nothing to lose, and on a Redis that bills by the command silence is cheap.
IDLE_HEARTBEAT_SECONDS: Final = IDLE_TTL_SECONDS / 2
#: How often orphans are looked for. With BUSY_TTL_SECONDS it bounds how long a dead instance's jobs stay away: 40 s.
RESCUE_SECONDS: Final = 10.0
#: Nobody is taken for dead before this instance itself has been connected so long: after an outage everybody's
#: heartbeats are late, and the others need the time to send theirs.
RESCUE_HOLD_OFF_SECONDS: Final = float(BUSY_TTL_SECONDS)
#: After trouble a turn has succeeded when the doorbell has been quiet for so long: a refusal of what it sends comes
#: with the answer, not with the sending.
PROOF_SECONDS: Final = 0.5
#: The longest sleep between two ticks on the scoreboard.
TICK_SECONDS: Final = 5.0


class Chore(Protocol):
    """Something that falls due again and again."""

    due: float

    def run(self) -> None:
        """Do it once and set the next `due` (monotonic)."""
        ...


class Heartbeats:
    """Keeps the consumers of this instance, and their claims, alive in Redis."""

    def __init__(self, claims: Claims, consumers: Sequence[Slot]) -> None:
        self.due = 0.0
        self._claims = claims
        self._consumers = consumers
        self._idle_due = 0.0

    def run(self) -> None:
        """Beat for those that may hold claims each time, for the idle ones rarely."""
        now = monotonic()
        idle_due = now >= self._idle_due
        beats = [
            slot.worker_name.decode()
            for slot in self._consumers
            if slot.pid and slot.worker_name and (idle_due or slot.state != State.WAITING)
        ]
        if beats:
            # Consumers whose record is gone write it again with their next claim.
            self._claims.heartbeat(beats)
        if idle_due:
            self._idle_due = now + IDLE_HEARTBEAT_SECONDS
        self.due = now + BUSY_HEARTBEAT_SECONDS


class Schedule:
    """Moves scheduled jobs (`enqueue_at`, `enqueue_in`, delayed retries) to their queues when they are due."""

    def __init__(self, claims: Claims, queues: Sequence[str], interval: float) -> None:
        self.due = 0.0
        self._claims = claims
        self._queues = queues
        self._interval = interval

    def run(self) -> None:
        """Move what is due; come back when the next job is due, at the latest after the interval."""
        moved, next_due, late = self._claims.move_due(self._queues)
        if moved:
            log.info("schedule.moved", jobs=moved, late=late)
        wait = self._interval if next_due < 0 else min(self._interval, next_due)
        self.due = monotonic() + wait


class Rescue:
    """Looks for what dead workers of any instance left behind."""

    def __init__(self, rescuer: Rescuer, connected_since: float) -> None:
        self.due = connected_since + RESCUE_HOLD_OFF_SECONDS
        self._rescuer = rescuer

    def run(self) -> None:
        """Rescue everybody's orphans."""
        self._rescuer.rescue_orphans()
        self.due = monotonic() + RESCUE_SECONDS


class Dispatcher:
    """One instance's dispatcher; `hail` says that a consumer waits, `bell` wakes one."""

    def __init__(
        self, settings: Settings, scoreboard: Scoreboard, bell: Bell, hail: Bell, name: str, slot: Slot
    ) -> None:
        self.settings = settings
        self.scoreboard = scoreboard
        self.bell = bell
        self.hail = hail
        self.slot = slot
        self.child = Child()
        self.outage = Outage(slot.redis_changed, reports=True)
        client = queue.build_client(settings, client_name=name)
        queues = settings.worker_queues
        self.claims = Claims(client, RQ_KEY_PREFIX, name, queues, settings.dead_letter_queue)
        deciding = Deciding(
            name,
            settings.dead_letter_queue,
            settings.worker_max_crashes,
            DEFAULT_RESULT_TTL,
            settings.release,
        )
        payloads = Payloads(settings.worker_job_modules, settings.worker_serializers)
        self.rescuer = Rescuer(self.claims, deciding, payloads)
        self.doorbell = Doorbell(
            lambda: queue.build_client(
                settings, client_name=f"{name}.doorbell", blocking=True, max_connections=len(queues) + 1
            ),
            RQ_KEY_PREFIX,
            queues,
        )
        self.orders = Orders(
            lambda: queue.build_client(settings, client_name=f"{name}.orders", blocking=True), scoreboard.consumers
        )
        self.chores = self._chores()
        self._rings = not consumers_watch(len(queues), settings.worker_threads)
        self.ringing = Ringing(bell, scoreboard.consumers)
        watched = None if self._rings else queues[0]
        interval = settings.worker_scheduler_interval
        self.pulse = Pulse(self.claims, scoreboard.consumers, interval=interval, watched=watched)

    def run(self) -> None:
        """Do chores and ring until the supervisor says stop, then hand back what killed consumers left."""
        self.slot.tick(State.CONNECTING)
        while not self.told_to_stop():
            try:
                self.do_chores()
                self.watch()
                self.listen()
                self.outage.over()
            except (RedisError, OSError) as error:
                self.ride_out(error)
        self.clean_up()

    def told_to_stop(self) -> bool:
        """Whether the supervisor wants the dispatcher gone (a TERM from the platform alone does not count)."""
        return bool(self.slot.stop_asked_at)

    def do_chores(self) -> None:
        """Run every chore that is due, and make sure that the server is there."""
        for chore in self.chores:
            if monotonic() >= chore.due:
                self.slot.tick(State.CLAIMING)
                chore.run()
        self.pulse.run()
        self.slot.tick(State.SERVING)

    def watch(self) -> None:
        """Watch the queues if somebody waits for the bell; otherwise leave them alone."""
        self.orders.subscribe()
        if self._rings and monotonic() >= self.ringing.deaf_until and self.waiting():
            self.doorbell.arm()

    def listen(self) -> None:
        """Sleep until a queue has something, a consumer hails, a signal comes or a chore is due."""
        bells, ears = self.doorbell.filenos(), self.orders.filenos()
        ready = self.child.wait(self._sleep_seconds(), [self.hail.fileno(), *bells, *ears])
        if self.hail.fileno() in ready:
            self.hail.answer(4096)
            self.ringing.answered()
        if any(bell in ready for bell in bells) and self.doorbell.rung():
            self.ringing.ring()
        elif not ready and len(bells) == len(self.settings.worker_queues):
            self.ringing.quiet()
        if any(ear in ready for ear in ears):
            self.orders.hear()

    def waiting(self) -> bool:
        """Whether a consumer is idle and may claim."""
        if self.scoreboard.header.quiet:
            return False
        return any(slot.pid and slot.state == State.WAITING for slot in self.scoreboard.consumers)

    def ride_out(self, error: BaseException) -> None:
        """Note trouble with Redis, drop every connection, and sleep before the next try."""
        before = self.outage.active
        self.outage.note(error)
        if self.outage.active and not before:
            # Idle consumers look for themselves from now on, until we can ring for them again.
            self.bell.ring(sum(1 for slot in self.scoreboard.consumers if slot.pid and slot.state == State.WAITING))
        self.orders.close()
        self.doorbell.close()
        self.claims.redis.connection_pool.disconnect()
        self.slot.tick(State.CONNECTING)
        self.child.wait(self.outage.delay())
        self.chores = self._chores()

    def clean_up(self) -> None:
        """Put back what consumers that had to be killed at the end of the grace were running."""
        try:
            for slot in self.scoreboard.consumers:
                if slot.worker_name and not slot.pid:
                    self.rescuer.hand_back(slot.worker_name.decode())
        except (RedisError, OSError) as error:
            self.outage.note(error)
        self.doorbell.close()
        self.orders.close()

    def _sleep_seconds(self) -> float:
        """Return how long nothing falls due."""
        now = monotonic()
        moments = [now + TICK_SECONDS, self.pulse.due, *(chore.due for chore in self.chores)]
        if self.ringing.deaf_until > now:
            moments.append(self.ringing.deaf_until)
        if self.outage.unproven:
            moments.append(now + PROOF_SECONDS)
        return max(0.0, min(moments) - now)

    def _chores(self) -> list[Chore]:
        """Make the chores anew: after an outage each is due at once, but for the rescue, which holds off."""
        chores: list[Chore] = [
            Heartbeats(self.claims, self.scoreboard.consumers),
            Rescue(self.rescuer, monotonic()),
        ]
        if self.settings.worker_scheduler_interval > 0:
            chores.append(Schedule(self.claims, self.settings.worker_queues, self.settings.worker_scheduler_interval))
        return chores


def main(settings: Settings, scoreboard: Scoreboard, bell: Bell, hail: Bell, name: str, slot: Slot) -> int:
    """Run the dispatcher until it is told to stop."""
    sentry.init(settings, "dispatcher")
    Dispatcher(settings, scoreboard, bell, hail, name, slot).run()
    sentry.flush(1.0)
    return Exit.OK
