"""The dispatcher: what an instance needs once, however many consumers it has.

It rings the consumers' bell when a queue they wait for has something, keeps their registrations and claims alive, moves
scheduled jobs that are due, and rescues what dead workers left behind. Each chore is an object with a `due` time and a
`run`; the loop sleeps on the doorbell's sockets until the next one is due. What one instance does for the fleet
is a chore in `LeaderOnly`.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from redis.exceptions import RedisError
from rq.defaults import DEFAULT_RESULT_TTL, RQ_KEY_PREFIX

from worker import queue, sentry
from worker.dispatcher.chores import Chore
from worker.dispatcher.cron import Cron
from worker.dispatcher.cron_file import Entry, serializer_of
from worker.dispatcher.dead_letters import dead_letter_chore
from worker.dispatcher.heartbeats import Heartbeats
from worker.dispatcher.keepalive import Pulse
from worker.dispatcher.leader import LeaderOnly, Leadership
from worker.dispatcher.maintenance import Maintenance
from worker.dispatcher.reconcile import Reconcile
from worker.dispatcher.rescue import Rescue
from worker.dispatcher.rq_commands import Orders
from worker.dispatcher.scheduled_jobs import Schedule
from worker.dispatcher.wakeups import Ringing
from worker.engine.outcomes import Deciding
from worker.engine.payload import Payloads
from worker.engine.rescue import Rescuer
from worker.exits import Exit
from worker.process.scoreboard import Scoreboard
from worker.process.signals import Child
from worker.process.slot import Slot, State
from worker.process.wakeup import Bell
from worker.process.watch_lock import consumers_watch
from worker.redis.calls import ScriptCalls
from worker.redis.doorbell import Doorbell
from worker.redis.outage import Outage
from worker.settings import Settings

#: After trouble a turn has succeeded when the doorbell has been quiet for so long: a refusal of what it sends comes
#: with the answer, not with the sending.
PROOF_SECONDS: Final = 0.5
#: A new instance, or one after an outage, leaves jobs that stand in no list alone for so long.
RECONCILE_AFTER_SECONDS: Final = 600.0
#: The longest sleep between two ticks on the scoreboard.
TICK_SECONDS: Final = 5.0


class Dispatcher:
    """One instance's dispatcher; `hail` says that a consumer waits, `bell` wakes one."""

    def __init__(
        self,
        settings: Settings,
        scoreboard: Scoreboard,
        bell: Bell,
        hail: Bell,
        name: str,
        slot: Slot,
        schedule: Sequence[Entry] = (),
    ) -> None:
        self.name = name
        self.settings = settings
        self.scoreboard = scoreboard
        self.bell = bell
        self.hail = hail
        self.slot = slot
        self.child = Child()
        self.outage = Outage(slot.redis_changed, reports=True)
        client = queue.build_client(settings, client_name=name)
        queues = settings.worker_queues
        self.calls = ScriptCalls(client, RQ_KEY_PREFIX)
        deciding = Deciding(
            name,
            settings.dead_letter_queue,
            settings.worker_max_crashes,
            DEFAULT_RESULT_TTL,
            settings.release,
            max_handbacks=settings.worker_max_handbacks,
            unknown_grace=settings.worker_unknown_grace,
        )
        payloads = Payloads(settings.worker_job_modules, settings.worker_serializers)
        self.schedule = schedule
        self.leadership = Leadership(self.calls, name)
        self.rescuer = Rescuer(self.calls, queues, deciding, payloads)
        self.payloads = payloads
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
        self._rings = not consumers_watch(len(queues), settings.worker_threads)
        self.ringing = Ringing(bell, scoreboard.consumers)
        watched = None if self._rings else queues[0]
        interval = settings.worker_scheduler_interval
        self.pulse = Pulse(self.calls, scoreboard.consumers, interval=interval, watched=watched)
        self.chores = self._chores()

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
            self.rescue.wake()
        elif not ready and len(bells) == len(self.settings.worker_queues):
            self.ringing.quiet()
        if any(ear in ready for ear in ears):
            self.orders.hear()

    def waiting(self) -> bool:
        """Whether a consumer is idle and may claim."""
        if self.scoreboard.header.quiet:
            return False
        return any(slot.pid and slot.state == State.WAITING for slot in self.scoreboard.consumers)

    def calm(self) -> bool:
        """Whether all consumers are idle and every queue is watched: of what happens next we shall hear."""
        watched = self.doorbell.armed or not self._rings
        return watched and not any(slot.pid and slot.busy for slot in self.scoreboard.consumers)

    def claimed(self) -> float:
        """When a consumer last asked for jobs (monotonic), where consumers keep the watch; 0 where we ring."""
        return 0.0 if self._rings else max(slot.claimed_at for slot in self.scoreboard.consumers)

    def deaths(self) -> int:
        """Count the consumers that were replaced here and the dead workers of other instances that were rescued."""
        return sum(slot.generation for slot in self.scoreboard.consumers) + self.rescuer.rescued

    def ended(self) -> int:
        """Count the attempts that ended here."""
        return sum(slot.finished + slot.failed + slot.buried for slot in self.scoreboard.consumers)

    def ride_out(self, error: BaseException) -> None:
        """Note trouble with Redis, drop every connection, and sleep before the next try."""
        before = self.outage.active
        self.outage.note(error)
        if self.outage.active and not before:
            # Idle consumers look for themselves from now on, until we can ring for them again.
            self.bell.ring(sum(1 for slot in self.scoreboard.consumers if slot.pid and slot.state == State.WAITING))
        self.orders.close()
        self.doorbell.close()
        self.calls.redis.connection_pool.disconnect()
        self.slot.tick(State.CONNECTING)
        self.child.wait(self.outage.delay())
        self.chores = self._chores()

    def clean_up(self) -> None:
        """Put back what consumers that had to be killed at the end of the grace were running."""
        try:
            for slot in self.scoreboard.consumers:
                if slot.worker_name and not slot.pid:
                    self.rescuer.hand_back(slot.worker_name.decode(), slot.execution_id.decode())
            self.leadership.abdicate()
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
        self.rescue = Rescue(self.rescuer, monotonic(), self.calm, self.claimed)
        interval = self.settings.worker_scheduler_interval
        consumers = self.scoreboard.consumers
        chores: list[Chore] = [
            Heartbeats(self.calls, self.scoreboard),
            self.rescue,
            Schedule(self.calls, self.settings.worker_queues, interval, consumers),
            dead_letter_chore(
                self.settings, self.calls, self.payloads, self.leadership, self.scoreboard.dead_letters, self.name
            ),
            Maintenance(self.calls, self.deaths, self.ended),
        ]
        return [*chores, *self._leader_chores()]

    def _leader_chores(self) -> list[Chore]:
        """Make the chores that one instance does for all: add a `LeaderChore` here."""
        reconcile = Reconcile(self.calls, self.calm, self.rescue.wake)
        chores = [LeaderOnly(self.leadership, reconcile, after=RECONCILE_AFTER_SECONDS)]
        if self.schedule:
            cron = Cron(self.calls, self.leadership, self.schedule, serializer_of(self.settings))
            chores.append(LeaderOnly(self.leadership, cron))
        return [*chores]


def main(
    settings: Settings,
    scoreboard: Scoreboard,
    bell: Bell,
    hail: Bell,
    name: str,
    slot: Slot,
    *,
    schedule: Sequence[Entry] = (),
) -> int:
    """Run the dispatcher until it is told to stop; `schedule` is what `cron_file.load` has read."""
    sentry.init(settings, "dispatcher")
    Dispatcher(settings, scoreboard, bell, hail, name, slot, schedule).run()
    sentry.flush(1.0)
    return Exit.OK
