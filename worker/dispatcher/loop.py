"""The dispatcher: what an instance needs once, however many consumers it has.

It wakes a consumer when a queue has something, keeps the consumers' registrations and claims alive, moves scheduled
jobs that are due, and rescues what dead workers left behind. Each chore is an object with a `due` time and a `run`; the
loop sleeps on the doorbell's sockets until the next one is due. What one instance does for the whole fleet is a chore
in `LeaderOnly`.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from rq.defaults import DEFAULT_RESULT_TTL, RQ_KEY_PREFIX

from worker import queue, sentry
from worker.dispatcher.chores import Chore
from worker.dispatcher.cron import Cron
from worker.dispatcher.cron_file import Entry, serializer_of
from worker.dispatcher.dead_letters import dead_letter_chore
from worker.dispatcher.heartbeats import Heartbeats
from worker.dispatcher.keepalive import Keepalive
from worker.dispatcher.leader import LeaderOnly, Leadership
from worker.dispatcher.maintenance import Maintenance
from worker.dispatcher.rescue import RescueChore
from worker.dispatcher.rq_commands import RqCommands
from worker.dispatcher.scheduled_jobs import ScheduledJobs
from worker.dispatcher.strays import StrayChore
from worker.dispatcher.wakeups import Wakeups
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.rescue import Rescuer
from worker.exits import Exit
from worker.process.claim_turn import consumers_block
from worker.process.scoreboard import Scoreboard
from worker.process.signals import Child
from worker.process.slot import Slot, State
from worker.process.wakeup import Wakeup
from worker.redis.calls import ScriptCalls
from worker.redis.doorbell import Doorbell
from worker.redis.outage import Outage
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings

#: After trouble a turn has succeeded when the doorbell has been quiet for so long: a refusal of what it sends comes
#: with the answer, not with the sending.
PROOF_SECONDS: Final = 0.5
#: A new instance, or one after an outage, leaves jobs that stand in no list alone for so long.
STRAYS_AFTER_SECONDS: Final = 600.0
#: The longest sleep between two ticks on the scoreboard.
TICK_SECONDS: Final = 5.0


class Dispatcher:
    """One instance's dispatcher. It wakes consumers by `wake_consumers`; they wake it by `wake_dispatcher`."""

    def __init__(
        self,
        settings: Settings,
        scoreboard: Scoreboard,
        wake_consumers: Wakeup,
        wake_dispatcher: Wakeup,
        name: str,
        slot: Slot,
        schedule: Sequence[Entry] = (),
    ) -> None:
        self.name = name
        self.settings = settings
        self.scoreboard = scoreboard
        self.wake_consumers = wake_consumers
        self.wake_dispatcher = wake_dispatcher
        self.slot = slot
        self.child = Child()
        self.outage = Outage(slot.redis_changed, reports=True)
        client = queue.build_client(settings, client_name=name)
        queues = settings.worker_queues
        self.calls = ScriptCalls(client, RQ_KEY_PREFIX)
        deciding = Decider(
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
        self.rq_commands = RqCommands(
            lambda: queue.build_client(settings, client_name=f"{name}.orders", blocking=True), scoreboard.consumers
        )
        self._wakes_consumers = not consumers_block(len(queues), settings.worker_threads)
        self.wakeups = Wakeups(wake_consumers, scoreboard.consumers)
        blocked_on = None if self._wakes_consumers else queues[0]
        interval = settings.worker_scheduler_interval
        self.keepalive = Keepalive(self.calls, scoreboard.consumers, interval=interval, blocked_on=blocked_on)
        self.chores = self._chores()

    def run(self) -> None:
        """Do chores and wake consumers until the supervisor says stop, then hand back what killed consumers left."""
        self.slot.tick(State.CONNECTING)
        while not self.told_to_stop():
            try:
                self.do_chores()
                self.arm_doorbell()
                self.listen()
                self.outage.over()
            except RedisTrouble as trouble:
                self.wait_out_outage(trouble)
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
        self.keepalive.run()
        self.slot.tick(State.SERVING)

    def arm_doorbell(self) -> None:
        """Arm the doorbell if a consumer waits to be woken; otherwise leave the queues alone."""
        self.rq_commands.subscribe()
        if self._wakes_consumers and monotonic() >= self.wakeups.paused_until and self.waiting():
            self.doorbell.arm()

    def listen(self) -> None:
        """Sleep until a queue has something, a consumer wakes us, a signal or a command comes, or a chore is due."""
        doorbells, commands = self.doorbell.filenos(), self.rq_commands.filenos()
        ready = self.child.wait(self._sleep_seconds(), [self.wake_dispatcher.fileno(), *doorbells, *commands])
        if self.wake_dispatcher.fileno() in ready:
            self.wake_dispatcher.take(4096)
            self.wakeups.answered()
        if any(fd in ready for fd in doorbells) and self.doorbell.rung():
            self.wakeups.wake()
            self.rescue.wake()
        elif not ready and len(doorbells) == len(self.settings.worker_queues):
            self.wakeups.nothing_waits()
        if any(fd in ready for fd in commands):
            self.rq_commands.pass_on()

    def waiting(self) -> bool:
        """Whether a consumer is idle and may claim."""
        if self.scoreboard.header.quiet:
            return False
        return any(slot.pid and slot.state == State.WAITING for slot in self.scoreboard.consumers)

    def calm(self) -> bool:
        """Whether all consumers are idle and every queue is watched, so that we shall notice whatever happens next."""
        watched = self.doorbell.armed or not self._wakes_consumers
        return watched and not any(slot.pid and slot.busy for slot in self.scoreboard.consumers)

    def claimed(self) -> float:
        """When a consumer last claimed (monotonic), where consumers block in claims; 0 where we wake them."""
        return 0.0 if self._wakes_consumers else max(slot.claimed_at for slot in self.scoreboard.consumers)

    def deaths(self) -> int:
        """Count the consumers that were replaced here and the dead workers of other instances that were rescued."""
        return sum(slot.generation for slot in self.scoreboard.consumers) + self.rescuer.rescued

    def ended(self) -> int:
        """Count the attempts that ended here."""
        return sum(slot.finished + slot.failed + slot.buried for slot in self.scoreboard.consumers)

    def wait_out_outage(self, trouble: RedisTrouble) -> None:
        """Note trouble with Redis, drop every connection, and sleep before the next try."""
        before = self.outage.active
        self.outage.note(trouble)
        if self.outage.active and not before:
            # Idle consumers look for themselves from now on, until we can ring for them again.
            self.wake_consumers.send(
                sum(1 for slot in self.scoreboard.consumers if slot.pid and slot.state == State.WAITING)
            )
        self.rq_commands.close()
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
            self.leadership.resign()
        except RedisTrouble as trouble:
            self.outage.note(trouble)
        self.doorbell.close()
        self.rq_commands.close()

    def _sleep_seconds(self) -> float:
        """Return how long nothing falls due."""
        now = monotonic()
        moments = [now + TICK_SECONDS, self.keepalive.due, *(chore.due for chore in self.chores)]
        if self.wakeups.paused_until > now:
            moments.append(self.wakeups.paused_until)
        if self.outage.unproven:
            moments.append(now + PROOF_SECONDS)
        return max(0.0, min(moments) - now)

    def _chores(self) -> list[Chore]:
        """Make the chores anew: after an outage each is due at once, but for the rescue, which holds off."""
        self.rescue = RescueChore(self.rescuer, monotonic(), self.calm, self.claimed)
        interval = self.settings.worker_scheduler_interval
        consumers = self.scoreboard.consumers
        chores: list[Chore] = [
            Heartbeats(self.calls, self.scoreboard),
            self.rescue,
            ScheduledJobs(self.calls, self.settings.worker_queues, interval, consumers),
            dead_letter_chore(
                self.settings, self.calls, self.payloads, self.leadership, self.scoreboard.dead_letters, self.name
            ),
            Maintenance(self.calls, self.deaths, self.ended),
        ]
        return [*chores, *self._leader_chores()]

    def _leader_chores(self) -> list[Chore]:
        """Make the chores that one instance does for all: add a `LeaderChore` here."""
        strays = StrayChore(self.calls, self.calm, self.rescue.wake)
        chores = [LeaderOnly(self.leadership, strays, after=STRAYS_AFTER_SECONDS)]
        if self.schedule:
            cron = Cron(self.calls, self.leadership, self.schedule, serializer_of(self.settings))
            chores.append(LeaderOnly(self.leadership, cron))
        return [*chores]


def main(
    settings: Settings,
    scoreboard: Scoreboard,
    wake_consumers: Wakeup,
    wake_dispatcher: Wakeup,
    name: str,
    slot: Slot,
    *,
    schedule: Sequence[Entry] = (),
) -> int:
    """Run the dispatcher until it is told to stop; `schedule` is what `cron_file.load` has read."""
    sentry.init(settings, "dispatcher")
    Dispatcher(settings, scoreboard, wake_consumers, wake_dispatcher, name, slot, schedule).run()
    sentry.flush(1.0)
    return Exit.OK
