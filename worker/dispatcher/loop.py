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

from worker import logs, queue, sentry
from worker.dispatcher import clock
from worker.dispatcher.chores import Chores, Resources
from worker.dispatcher.cron_file import Entry
from worker.dispatcher.keepalive import Keepalive
from worker.dispatcher.leader import Leadership
from worker.dispatcher.wakeups import Wakeups
from worker.engine import rate_limits, rq_private
from worker.engine.errands import Errands
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.rescue import Rescuer
from worker.engine.rq_commands import RqCommands
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

log = logs.get_logger()

#: After an outage, wait this long before declaring it over: the doorbell only sends, and an error would arrive with its
#: reply.
PROOF_SECONDS: Final = 0.5
#: How long a stop waits for what follows on jobs that were buried here; the supervisor waits two seconds in all.
ERRANDS_SECONDS: Final = 1.0
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
        self.calls.clock.on_step = self.note_step
        decider = Decider(
            name,
            settings.dead_letter_queue,
            settings.worker_max_crashes,
            DEFAULT_RESULT_TTL,
            settings.release,
            max_handbacks=settings.worker_max_handbacks,
            unknown_grace=settings.worker_unknown_grace,
            now=self.calls.clock.today,
        )
        rq_private.use_clock(self.calls.clock.today)
        self.errands = Errands(slot.note_errands)
        payloads = Payloads.of(settings, self.errands)
        self.leadership = Leadership(self.calls, name)
        self.rescuer = Rescuer(self.calls, queues, decider, payloads)
        self.doorbell = Doorbell(
            lambda: queue.build_client(
                settings, client_name=f"{name}.doorbell", blocking=True, max_connections=len(queues) + 1
            ),
            RQ_KEY_PREFIX,
            queues,
        )
        self.rq_commands = RqCommands(
            lambda: queue.build_client(settings, client_name=f"{name}.orders", blocking=True),
            self.calls.keys,
            scoreboard.by_name,
            settings.pace.command_ping,
        )
        self._consumers_block = consumers_block(len(queues), settings.worker_threads)
        self.wakeups = Wakeups(wake_consumers, scoreboard.consumers)
        blocked_on = queues[0] if self._consumers_block else None
        self.keepalive = Keepalive(self.calls, scoreboard.consumers, pace=settings.pace, blocked_on=blocked_on)
        self._resources = Resources(
            name,
            settings,
            scoreboard,
            self.calls,
            self.leadership,
            payloads,
            self.rescuer,
            schedule,
            self._consumers_block,
            lambda: self._consumers_block or self.doorbell.armed,
        )
        self.chores = Chores(self._resources)

    def run(self) -> None:
        """Do chores and wake consumers until a stop is asked, then hand back what killed consumers left."""
        self.slot.tick(State.CONNECTING)
        while not self.stop_asked():
            try:
                self.hear_commands()
                self.arm_doorbell()
                self.listen()
                self.outage.over()
            except RedisTrouble as trouble:
                self.wait_out_outage(trouble)
            except Exception:  # a fault of ours, which must not end what the whole instance needs
                log.exception("dispatcher.failed")
                self.child.wait(PROOF_SECONDS)
        self.clean_up()

    def stop_asked(self) -> bool:
        """Whether the supervisor wants the dispatcher gone (a TERM from the platform alone does not count)."""
        return bool(self.slot.stop_asked_at)

    def hear_commands(self) -> None:
        """Subscribe to RQ's commands, because consumers wait for that; then do chores, whether or not it worked."""
        try:
            self.rq_commands.check()
            self.rq_commands.subscribe()
        finally:
            self.do_chores()

    def do_chores(self) -> None:
        """Run every chore that is due, and make sure that the server is there."""
        for chore in self.chores:
            if monotonic() >= chore.due:
                self.slot.tick(State.CLAIMING)
                chore.run()
                self.slot.note_chores(self.chores.refused)
        self.keepalive.run()
        self.slot.tick(State.SERVING)

    def arm_doorbell(self) -> None:
        """Arm the doorbell if a consumer waits to be woken; otherwise leave the queues alone."""
        if self.somebody_waits() and monotonic() >= self.wakeups.paused_until:
            self.doorbell.arm(self.scoreboard.header.closed)

    def listen(self) -> None:
        """Sleep until a queue has something, a consumer wakes us, a signal or a command comes, or a chore is due."""
        doorbells, commands = self.doorbell.filenos(), self.rq_commands.filenos()
        ready = self.child.wait(self._sleep_seconds(), [self.wake_dispatcher.fileno(), *doorbells, *commands])
        if self.wake_dispatcher.fileno() in ready:
            self.wake_dispatcher.take(4096)
            self.wakeups.answered()
        if any(fd in ready for fd in doorbells) and self.doorbell.rung():
            self.wakeups.wake()
            self.chores.rescue.wake()
        elif not ready and len(doorbells) == len(self.settings.worker_queues):
            self.wakeups.nothing_waits()
        if any(fd in ready for fd in commands):
            self.rq_commands.pass_on()

    def somebody_waits(self) -> bool:
        """Whether a consumer is idle, may claim, and does not block in a claim of its own."""
        return not (self._consumers_block or self.scoreboard.header.quiet) and self.scoreboard.idle() > 0

    def wait_out_outage(self, trouble: RedisTrouble) -> None:
        """Note trouble with Redis, drop every connection, and sleep before the next try."""
        before = self.outage.active
        self.outage.note(trouble)
        if self.outage.active and not before:
            # Idle consumers look for themselves from now on, until we can wake them again.
            self.wake_consumers.send(self.scoreboard.idle())
        self.rq_commands.close()
        self.doorbell.close()
        self.calls.redis.connection_pool.disconnect()
        self.slot.tick(State.CONNECTING)
        self.sleep_in_outage(self.outage.delay())
        self.chores = Chores(self._resources)  # due at once: an outage may have changed anything

    def note_step(self, seconds: float) -> None:
        """Note that the server's clock has stepped: one that was set forth has ended the records of idle consumers."""
        clock.report(seconds)
        if seconds > 0:
            self.wake_consumers.send(self.scoreboard.idle())

    def sleep_in_outage(self, seconds: float) -> None:
        """Sleep; less when a consumer has reached Redis meanwhile and waits until its commands are heard."""
        began = monotonic()
        while (left := began + seconds - monotonic()) > 0 and not self.stop_asked():
            if self.wake_dispatcher.fileno() not in self.child.wait(left, [self.wake_dispatcher.fileno()]):
                return
            self.wake_dispatcher.take(4096)
            if any(slot.commands_wanted_at > began for slot in self.scoreboard.consumers):
                return

    def clean_up(self) -> None:
        """Put back what consumers that had to be killed at the end of the grace were running."""
        try:
            for slot in self.scoreboard.consumers:
                if slot.generation and not slot.pid:
                    self.rescuer.hand_back(slot.worker_name.decode(), slot.execution_id.decode())
            self.chores.scheduled_jobs.resign()
            self.leadership.resign()
        except RedisTrouble as trouble:
            self.outage.note(trouble)
        self.doorbell.close()
        self.rq_commands.close()
        self._finish_errands()

    def _finish_errands(self) -> None:
        """Let webhooks of buried jobs be sent, as long as the supervisor waits."""
        until = monotonic() + ERRANDS_SECONDS
        self.errands.end()
        while not self.errands.idle and (left := until - monotonic()) > 0:
            self.child.wait(left, [self.errands.fileno()])
            self.errands.answer()
        self.errands.forgo()

    def _sleep_seconds(self) -> float:
        """Return how long nothing falls due."""
        now = monotonic()
        moments = [now + TICK_SECONDS, self.keepalive.due, self.rq_commands.due, *(chore.due for chore in self.chores)]
        if self.wakeups.paused_until > now:
            moments.append(self.wakeups.paused_until)
        if self.outage.unproven:
            moments.append(now + PROOF_SECONDS)
        return max(0.0, min(moments) - now)


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
    """Run the dispatcher until it is asked to stop; `schedule` is what `cron_file.load` has read."""
    sentry.init(settings, "dispatcher")
    rate_limits.mend()
    Dispatcher(settings, scoreboard, wake_consumers, wake_dispatcher, name, slot, schedule).run()
    sentry.flush(1.0)
    return Exit.OK
