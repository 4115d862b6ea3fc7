"""The supervisor: forks, reaps, replaces, signals and watches the children. It speaks to nobody else.

Single-threaded, without Redis and without sockets, so that nothing in it can hang or be half-copied by a fork. Each
tick compares the children that should live with those that do; events only make the next tick come sooner.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

from worker import backoff, logs, oom, signals
from worker.exits import OUT_OF_MEMORY, Exit, explain, explain_out_of_memory
from worker.scoreboard import RedisState, Role, Scoreboard, Slot, State

#: A tick's length when no signal comes.
TICK_SECONDS: Final = 0.5
#: A loop that has not turned for so long is stuck. Every loop ticks at least every 15 s, outage or not.
STALL_SECONDS: Final = 60.0
#: An idle consumer that jobs have been waiting for so long, and that does not come, is deaf. Idle ones claim within
#: milliseconds of a ring.
DEAF_SECONDS: Final = 20.0
#: How long a job may outlive its timeout before its process is killed: the exception in the job comes first.
TIMEOUT_GRACE_SECONDS: Final = 5.0
#: From the request for a stack dump to the kill.
DUMP_SECONDS: Final = 0.5
#: From the end of the shutdown grace (exception in the job) to the kill.
HARD_STOP_SECONDS: Final = 2.0
#: A child that dies younger than this is respawned with backoff.
YOUNG_SECONDS: Final = 10.0
#: So many children in a row that die while booting end the service.
BOOT_ATTEMPTS: Final = 5
RESPAWN_CAP_SECONDS: Final = 30.0

log = logs.get_logger()


class Supervisor:
    """Keeps one child a wanted slot; `roles` maps a role to its main, which gets the slot and returns an exit code."""

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
        self.roles = roles
        self.grace = grace
        self.fate: Exit | None = None  #: why the service ends, when it is not on request
        self._early_deaths: dict[int, int] = {}  #: by slot position: deaths in a row of young children
        self._respawn_at: dict[int, float] = {}
        self._failed_boots = 0
        self._condemned: dict[int, float] = {}  #: pid → when to kill it: its stacks were asked for
        self._killed: dict[int, str] = {}  #: pid → why we killed it
        self._oom_kills = oom.kills()
        self._slots = list(scoreboard)
        self._inbox = inbox  #: signals since before the preload, None: listened to from `run` on
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
            self.converge()
            if self.header.stopping and not any(self.scoreboard.living()):
                break
            self.sleep()
        log.info("service.stopped", seconds=round(monotonic() - self.header.started_at, 1))
        return self.fate or Exit(self.header.fate)

    def sleep(self, longest: float = TICK_SECONDS) -> None:
        """Wait for the next signal, respawn or tick; handle what came."""
        due = min((when for when in self._respawn_at.values() if when > self.header.heartbeat), default=float("inf"))
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
            for slot in self._consumers():  # who waits for jobs looks at the flag when it wakes
                self.signal(slot, signals.ORDER)
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self.scale(+1 if number == signal.SIGTTIN else -1)
        elif number == signal.SIGUSR1:
            self.dump()

    def stop(self, *, hard: bool) -> None:
        """Ask everybody to finish; `hard` interrupts running jobs now instead of at the end of the grace."""
        if self.header.stopping == 2:
            return
        now = monotonic()
        self.header.stopping = 2 if hard else 1
        self.header.deadline = now if hard else now + self.grace
        log.info("service.stopping", hard=hard, grace=0 if hard else self.grace)
        for slot in self._consumers():
            self.ask_to_stop(slot, signal.SIGQUIT if hard else signal.SIGTERM)

    def scale(self, by: int) -> None:
        """Want one consumer more or less."""
        wanted = min(max(self.header.wanted_consumers + by, 1), len(self.scoreboard.consumers))
        log.info("service.scaled", consumers=wanted, before=self.header.wanted_consumers)
        self.header.wanted_consumers = wanted

    def dump(self) -> None:
        """Log what every child is doing, and have each write its stacks to standard error."""
        now = monotonic()
        for slot in self.scoreboard.living():
            log.info(
                "child.state",
                **_who(slot),
                state=State(slot.state).name.lower(),
                heartbeat_age=round(now - slot.heartbeat, 1),
                job_id=slot.job_id.decode() or None,
                job_seconds=round(now - slot.job_started_at, 1) if slot.job_id else None,
                finished=slot.finished,
                failed=slot.failed,
            )
            self.signal(slot, signals.DUMP_STACKS)

    def reap(self) -> None:
        """Collect the dead and note how each ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for position, slot in enumerate(self._slots):
                if slot.pid == pid:
                    self._bury(position, slot, os.waitstatus_to_exitcode(status))

    def end_overdue(self) -> None:
        """Kill what no longer turns: a job past its timeout, a loop that is stuck, a child that outlives its stop."""
        now = monotonic()
        for slot in self.scoreboard.living():
            reason = self._overdue(slot, now)
            if reason is None:
                self._condemned.pop(slot.pid, None)
            elif slot.pid not in self._condemned and reason != "shutdown":
                self._condemned[slot.pid] = now + DUMP_SECONDS
                log.error("child.overdue", **_who(slot), reason=reason, job_id=slot.job_id.decode() or None)
                self.signal(slot, signals.DUMP_STACKS)
            elif now >= self._condemned.get(slot.pid, 0.0):
                self._killed[slot.pid] = reason
                log.warning("child.killed", **_who(slot), reason=reason, job_id=slot.job_id.decode() or None)
                self.kill(slot)

    def converge(self) -> None:
        """Make the living children those that are wanted."""
        if self.header.stopping:
            self._wind_down()
            return
        now = monotonic()
        for position, slot in enumerate(self._slots):
            if slot.role not in self.roles:
                continue
            wanted = slot.role != Role.CONSUMER or slot.index < self.header.wanted_consumers
            if wanted and not slot.pid and now >= self._respawn_at.get(position, 0.0):
                self.spawn(slot)
            elif not wanted and slot.pid and not slot.stop_asked_at:
                self.ask_to_stop(slot, signal.SIGTERM)

    def spawn(self, slot: Slot) -> None:
        """Fork the child of `slot`."""
        slot.generation += 1
        slot.spawned_at = slot.heartbeat = monotonic()
        slot.stop_asked_at = 0.0
        slot.state = State.BOOTING
        slot.redis_state = RedisState.UNKNOWN
        sys.stdout.flush()
        parent = os.getpid()
        with signals.held():
            pid = os.fork()
            if pid == 0:
                self._become(slot, parent)
            slot.pid = pid
        log.info("child.spawned", **_who(slot), generation=slot.generation)

    def ask_to_stop(self, slot: Slot, number: signal.Signals) -> None:
        """Tell one child to stop: the slot says so too, for whoever is told by the platform as well."""
        slot.stop_asked_at = monotonic()
        self.signal(slot, number)

    def signal(self, slot: Slot, number: signal.Signals) -> None:
        """Signal one child, which may have died meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, number)

    def kill(self, slot: Slot) -> None:
        """Kill a child together with what its job started: each child leads its own session."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(slot.pid, signal.SIGKILL)

    def _become(self, slot: Slot, parent: int) -> None:
        """Run the child's role and end the process; never returns to the supervisor's code."""
        code: int = Exit.CRASHED
        try:
            signals.die_with_parent(parent)
            os.setsid()
            code = self.roles[Role(slot.role)](slot)
        except BaseException:
            log.exception("child.crashed", role=Role(slot.role).name.lower(), slot=slot.index)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _bury(self, position: int, slot: Slot, status: int) -> None:
        lived = monotonic() - slot.spawned_at
        booted = slot.state != State.BOOTING
        expected = bool(self.header.stopping) or status == 0
        event = log.info if expected else log.error
        reason = self._killed.pop(slot.pid, "")
        how = f"killed by the supervisor: {reason}" if reason else explain(status)
        if not reason and status == -signal.SIGKILL and self._out_of_memory():
            reason, how = OUT_OF_MEMORY, explain_out_of_memory(oom.limit_bytes())
        event("child.exited", **_who(slot), status=status, how=how, seconds=round(lived, 1))
        self._condemned.pop(slot.pid, None)
        slot.exit_status = status
        slot.exit_reason = reason.encode()
        slot.pid = 0
        if status == Exit.HEALTH_PORT:
            self._give_up(Exit.HEALTH_PORT)
            return
        if expected:
            self._early_deaths[position] = 0
            return
        self._failed_boots = 0 if booted else self._failed_boots + 1
        if self._failed_boots >= BOOT_ATTEMPTS:
            self._give_up(Exit.BOOT_FAILED)
            return
        deaths = self._early_deaths.get(position, 0) + 1 if lived < YOUNG_SECONDS else 1
        self._early_deaths[position] = deaths
        delay = 0.0 if deaths == 1 else backoff.full_jitter(deaths - 1, base=0.25, cap=RESPAWN_CAP_SECONDS)
        self._respawn_at[position] = monotonic() + delay

    def _out_of_memory(self) -> bool:
        """Whether the kernel has killed for want of memory since the last look."""
        before, self._oom_kills = self._oom_kills, oom.kills()
        return self._oom_kills is not None and before is not None and self._oom_kills > before

    def _give_up(self, fate: Exit) -> None:
        self.fate = self.fate or fate
        log.critical("service.giving_up", code=int(fate), why=fate.name.lower())
        self.stop(hard=False)

    def _overdue(self, slot: Slot, now: float) -> str | None:
        """Name why a child must be killed, if it must."""
        if self.header.stopping and slot.role == Role.CONSUMER:
            if now >= self.header.deadline + HARD_STOP_SECONDS:
                return "shutdown"
            return None
        deadline = slot.job_deadline if slot.job_started_at >= slot.spawned_at else 0.0  # not a predecessor's
        if deadline and now >= deadline + TIMEOUT_GRACE_SECONDS:
            return "timeout"
        if slot.order and slot.job_id and slot.job_started_at >= slot.spawned_at:
            ordered = slot.ordered(slot.job_id.decode(), slot.execution_id.decode())
            if ordered and now - slot.order_at > TIMEOUT_GRACE_SECONDS:
                return "ordered"
        if slot.state != State.BUSY and now - slot.heartbeat > STALL_SECONDS:
            return "stalled"
        if slot.deaf_for(now) > DEAF_SECONDS:
            return "deaf"
        return None

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
                    self.ask_to_stop(slot, signal.SIGTERM)
                elif now - slot.stop_asked_at > HARD_STOP_SECONDS:
                    self.kill(slot)
                return

    def _consumers(self) -> Iterator[Slot]:
        return (slot for slot in self.scoreboard.consumers if slot.pid)


def _who(slot: Slot) -> dict[str, object]:
    return {"role": Role(slot.role).name.lower(), "slot": slot.index, "child": slot.pid}
