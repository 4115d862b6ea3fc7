"""The supervisor: keeps the children that should live alive, and stops them in order. It does nothing else.

It has one thread, no Redis and no sockets, so that nothing in it can hang or be half-copied by a fork. Each tick
compares the children that should live with those that do; events only make the next tick come sooner. ``children.py``
forks and kills processes, ``overdue.py`` decides which must be killed, ``respawn.py`` when a successor may come.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

from worker import logs
from worker.exits import Exit
from worker.process import overdue, signals
from worker.process.children import Children
from worker.process.respawn import Respawn
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Commands, Role, Slot, State

#: A tick's length when no signal comes.
TICK_SECONDS: Final = 0.5

log = logs.get_logger()


class Supervisor:
    """Keeps a child in each wanted slot; `roles` maps a role to its main, which gets the slot, returns an exit code."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        roles: Mapping[Role, Callable[[Slot], int]],
        *,
        consumers: int,
        grace: float,
        inbox: SimpleQueue[int] | None = None,
    ) -> None:
        self.scoreboard = scoreboard
        self.header = scoreboard.header
        self.children = Children(scoreboard, roles)
        self.respawn = Respawn()
        self.grace = grace
        self.fate: Exit | None = None  #: why the service ends, when it is not on request
        self._slots = [slot for slot in scoreboard if slot.role in roles]
        self._inbox = inbox  #: signals, noted since before the preload; None: noted from `run` on
        self.header.supervisor_pid = os.getpid()
        self.header.wanted_consumers = consumers
        self.header.started_at = monotonic()

    def run(self) -> Exit:
        """Supervise until a stop is asked and everybody is gone, or until the service cannot boot."""
        self._inbox = self._inbox or signals.listen()
        log.info("service.started", pid=os.getpid(), consumers=self.header.wanted_consumers)
        self.sleep(0.001)  # a stop may have come during the preload
        while True:
            self.header.heartbeat = monotonic()
            self.reap()
            self.end_overdue()
            self.remind()
            self.converge()
            if self.header.stopping and not any(self.scoreboard.living()):
                break
            self.sleep()
        log.info("service.stopped", seconds=round(monotonic() - self.header.started_at, 1))
        return self.fate or Exit(self.header.fate)

    def reap(self) -> None:
        """Collect dead children; give up when replacing them is no use."""
        for death in self.children.reap(first=self._note_silence):
            if death.status == Exit.HEALTH_PORT:
                self._give_up(Exit.HEALTH_PORT)
            elif death.expected:
                self.respawn.note_end(death.slot)
            else:
                self.respawn.note_death(death.slot, monotonic(), lived=death.lived, booted=death.booted)
                if self._others_serve(death.slot.role):
                    continue
                if death.status == Exit.SETTINGS:
                    self._give_up(Exit.SETTINGS)
                elif self.respawn.hopeless:
                    self._give_up(Exit.BOOT_FAILED)

    def end_overdue(self) -> None:
        """Kill what is overdue: a job past its timeout, a loop that is stuck, a child that outlives its stop."""
        now = monotonic()
        for slot in self.scoreboard.living():
            reason = overdue.reason(slot, self.header, now)
            if reason is None:
                self.children.spare(slot)
            else:
                self.children.condemn(slot, reason, now, silently=reason == overdue.SHUTDOWN)

    def remind(self) -> None:
        """Signal again where a job must end and has not: a thread of the job may have got the signal."""
        for slot in self._consumers():
            if self.header.stopping == 2:
                self.children.signal(slot, signal.SIGQUIT)
            elif overdue.ordered(slot):
                self.children.signal(slot, signals.ORDER)

    def converge(self) -> None:
        """Spawn wanted children that are missing, and stop those that are not wanted."""
        if self.header.stopping:
            self._wind_down()
            return
        now = monotonic()
        for slot in self._slots:
            wanted = slot.role != Role.CONSUMER or slot.index < self.header.wanted_consumers
            if wanted and not slot.pid and now >= self.respawn.due(slot):
                self.children.spawn(slot)
            elif not wanted and slot.pid and not slot.stop_asked_at:
                self.children.ask_to_stop(slot, signal.SIGTERM)

    def sleep(self, longest: float = TICK_SECONDS) -> None:
        """Wait for the next signal, respawn or tick; handle what came."""
        due = self.respawn.next_due(after=self.header.heartbeat)
        assert self._inbox is not None  # noqa: S101 — `run` has made it
        with contextlib.suppress(Empty):
            number = self._inbox.get(timeout=min(longest, max(0.001, due - monotonic())))
            while True:
                self.receive(number)
                number = self._inbox.get_nowait()

    def receive(self, number: int) -> None:
        """Act on one signal."""
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop(hard=bool(self.header.stopping))
        elif number == signal.SIGQUIT:
            self.stop(hard=True)
        elif number in (signal.SIGTSTP, signal.SIGCONT):
            self.header.quiet = int(number == signal.SIGTSTP)
            log.info("service.quiet" if self.header.quiet else "service.resumed")
            for slot in self._consumers():  # those that wait look at the flag when they wake
                self.children.signal(slot, signals.ORDER)
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self.scale(+1 if number == signal.SIGTTIN else -1)
        elif number == signal.SIGUSR1:
            self.children.dump()

    def stop(self, *, hard: bool) -> None:
        """Ask everybody to finish; `hard` interrupts running jobs now instead of at the end of the grace."""
        if self.header.stopping == 2:
            return
        now = monotonic()
        self.header.stopping = 2 if hard else 1
        self.header.deadline = now if hard else now + self.grace
        log.info("service.stopping", hard=hard, grace=0 if hard else self.grace)
        for slot in self._consumers():
            self.children.ask_to_stop(slot, signal.SIGQUIT if hard else signal.SIGTERM)

    def scale(self, by: int) -> None:
        """Change the number of wanted consumers."""
        wanted = min(max(self.header.wanted_consumers + by, 1), len(self.scoreboard.consumers))
        log.info("service.scaled", consumers=wanted, before=self.header.wanted_consumers)
        self.header.wanted_consumers = wanted

    def _wind_down(self) -> None:
        """Stop in the order consumers, dispatcher (which hands back what they left), health."""
        now = monotonic()
        if any(self._consumers()):
            if self.header.stopping == 1 and now >= self.header.deadline:
                log.warning("service.grace_over", grace=self.grace)
                self.stop(hard=True)
            return
        for slot in (self.scoreboard.dispatcher, self.scoreboard.health):
            if slot.pid:
                if not slot.stop_asked_at:
                    self.children.ask_to_stop(slot, signal.SIGTERM)
                elif now - slot.stop_asked_at > overdue.HARD_STOP_SECONDS:
                    self.children.kill(slot)
                return

    def _note_silence(self, dead: Slot) -> None:
        """If it was the dispatcher, let the consumers know that nobody hears RQ's commands to them until the next."""
        if dead.role != Role.DISPATCHER:
            return
        for slot in self._consumers():
            slot.commands = Commands.UNHEARD
            self.children.signal(slot, signals.ORDER)  # one that blocks in a claim looks now

    def _others_serve(self, role: int) -> bool:
        """Whether a child of that role works: then the service goes on without one that cannot boot, and tries on."""
        return any(slot.role == role and slot.state != State.BOOTING for slot in self.scoreboard.living())

    def _give_up(self, fate: Exit) -> None:
        self.fate = self.fate or fate
        log.critical("service.giving_up", code=int(fate), why=fate.name.lower())
        self.stop(hard=False)

    def _consumers(self) -> Iterator[Slot]:
        return (slot for slot in self.scoreboard.consumers if slot.pid)
