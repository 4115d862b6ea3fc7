"""The children as processes: fork, signal, kill, reap. The supervisor decides which of them should live."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from worker import logs
from worker.exits import OUT_OF_MEMORY, Exit, explain, explain_out_of_memory
from worker.process import descendants, memory, signals
from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState, Role, Slot, State

#: From the first look at a child that must die (and the request for its stacks) to the kill.
DUMP_SECONDS: Final = 0.5

log = logs.get_logger()


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a child after `lived` seconds; `status` is its exit code, or minus the signal that killed it.

    `booted` says whether it got as far as working, `expected` whether it was to end.
    """

    slot: Slot
    status: int
    lived: float
    booted: bool
    expected: bool


class Children:
    """The processes in the slots; `roles` maps a role to its main, which gets the slot and returns an exit code."""

    def __init__(self, scoreboard: Scoreboard, roles: Mapping[Role, Callable[[Slot], int]]) -> None:
        self._scoreboard = scoreboard
        self._roles = roles
        self._condemned: dict[int, float] = {}  #: pid → when to kill it
        self._killed: dict[int, str] = {}  #: pid → why we killed it
        self._oom_kills = memory.oom_kills()

    def spawn(self, slot: Slot) -> None:
        """Fork the child of `slot`."""
        slot.generation += 1
        slot.spawned_at = slot.heartbeat = monotonic()
        slot.stop_asked_at = 0.0
        slot.state = State.BOOTING
        slot.redis_state = RedisState.UNKNOWN
        sys.stdout.flush()
        parent = os.getpid()
        with signals.blocked():
            pid = os.fork()
            if pid == 0:
                self._become(slot, parent)
            slot.pid = pid
        log.info("child.spawned", **_who(slot), generation=slot.generation)

    def ask_to_stop(self, slot: Slot, number: signal.Signals) -> None:
        """Ask one child to stop. Its slot shows that too, because some platforms signal every process themselves."""
        slot.stop_asked_at = monotonic()
        self.signal(slot, number)

    def signal(self, slot: Slot, number: signal.Signals) -> None:
        """Signal one child, which may have died meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, number)

    def dump(self) -> None:
        """Log what every child is doing, and have each write its stacks to standard error."""
        now = monotonic()
        for slot in self._scoreboard.living():
            log.info(
                "child.state",
                **_who(slot),
                state=State(slot.state).name.lower(),
                heartbeat_age=round(now - slot.heartbeat, 1),
                job_id=_job_of(slot),
                job_seconds=round(now - slot.job_started_at, 1) if slot.job_id else None,
                errands=slot.errands or None,
                finished=slot.finished,
                failed=slot.failed,
            )
            self.signal(slot, signals.DUMP_STACKS)

    def condemn(self, slot: Slot, reason: str, now: float, *, silently: bool = False) -> None:
        """Have a child write its stacks; kill it if it is still condemned `DUMP_SECONDS` later.

        It is never killed at the first look: if the whole machine stood still, the child had no chance to do what was
        asked of it. `silently` leaves out the log line and the stacks.
        """
        if slot.pid not in self._condemned:
            self._condemned[slot.pid] = now + DUMP_SECONDS
            if not silently:
                log.error("child.overdue", **_who(slot), reason=reason, job_id=_job_of(slot))
                self.signal(slot, signals.DUMP_STACKS)
        elif now >= self._condemned[slot.pid]:
            self.kill(slot, reason)

    def spare(self, slot: Slot) -> None:
        """Undo `condemn`: the child goes on."""
        self._condemned.pop(slot.pid, None)

    def kill(self, slot: Slot, reason: str = "") -> None:
        """Kill a child together with what its jobs have started. A `reason` is logged."""
        if reason:
            self._killed[slot.pid] = reason
            log.warning("child.killed", **_who(slot), reason=reason, job_id=_job_of(slot))
        descendants.end_tree(slot.pid)

    def reap(self, first: Callable[[Slot], None]) -> Iterator[Death]:
        """Collect dead children one by one, log how each ended and empty its slot; `first` is called before that."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for slot in self._scoreboard.living():
                if slot.pid == pid:
                    first(slot)
                    yield self._reaped(slot, os.waitstatus_to_exitcode(status))

    def _become(self, slot: Slot, parent: int) -> None:
        """Run the child's role and end the process; never returns to the supervisor's code."""
        code: int = Exit.CRASHED
        try:
            signals.die_with_parent(parent)
            os.setsid()
            code = self._roles[Role(slot.role)](slot)
        except BaseException:
            log.exception("child.crashed", role=Role(slot.role).name.lower(), slot=slot.index)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reaped(self, slot: Slot, status: int) -> Death:
        death = Death(
            slot,
            status,
            lived=monotonic() - slot.spawned_at,
            booted=slot.state != State.BOOTING,
            expected=bool(self._scoreboard.header.stopping) or status == 0,
        )
        reason, how = self._explain(slot, status)
        event = log.info if death.expected else log.error
        event("child.exited", **_who(slot), status=status, how=how, seconds=round(death.lived, 1))
        self._condemned.pop(slot.pid, None)
        if not death.expected:  # its jobs will run again; what they have started must not go on beside them
            for pid in (slot.pid, *slot.forked_pids()):
                descendants.end_session(pid)
        slot.exit_status = status
        slot.exit_reason = reason.encode()
        slot.exited_at = monotonic()
        slot.pid = 0
        return death

    def _explain(self, slot: Slot, status: int) -> tuple[str, str]:
        """Return why a child was killed ("" when only its status is known), and in words how it ended."""
        if reason := self._killed.pop(slot.pid, ""):
            return reason, f"killed by the supervisor: {reason}"
        if status == -signal.SIGKILL and self._out_of_memory():
            return OUT_OF_MEMORY, explain_out_of_memory(memory.limit_bytes())
        return "", explain(status)

    def _out_of_memory(self) -> bool:
        """Whether the kernel has killed processes for lack of memory since the last look."""
        before, self._oom_kills = self._oom_kills, memory.oom_kills()
        return self._oom_kills is not None and before is not None and self._oom_kills > before


def _who(slot: Slot) -> dict[str, object]:
    return {"role": Role(slot.role).name.lower(), "slot": slot.index, "child": slot.pid}


def _job_of(slot: Slot) -> str | None:
    return slot.job_id.decode(errors="replace") or None  # cut to the field's size, perhaps within a character
