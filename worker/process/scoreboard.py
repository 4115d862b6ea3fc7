"""What every child is doing, in memory that all processes of one instance share.

One anonymous ``mmap`` is made before the first fork: a header for the instance, a slot for each child (``slot.py``) and
the counts of dead letters. So the supervisor, the health endpoint and a successor know what a child was doing even when
the child was killed and Redis is away.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator

from worker.process.dead_letter_counts import DeadLetterCounts
from worker.process.slot import Role, Slot, State

#: Consumers that one instance can have: the number of slots is fixed, because the memory is mapped before the forks.
MAX_CONSUMERS = 64


class Header(ctypes.Structure):
    """The instance as a whole; written by the supervisor except where noted."""

    __slots__ = ()  # as `Slot`
    _fields_ = (
        ("supervisor_pid", ctypes.c_int32),
        ("wanted_consumers", ctypes.c_int32),
        ("quiet", ctypes.c_int32),  #: 1 = claim nothing more, keep running
        ("stopping", ctypes.c_int32),  #: 1 = soft stop asked, 2 = hard stop
        (
            "ever_connected",
            ctypes.c_int32,
        ),  #: 1 once any consumer reached Redis (written by consumers, never undone)
        ("suspended", ctypes.c_int32),  #: 1 while `rq suspend` holds (this and the next two: written by all children)
        ("all_closed", ctypes.c_int32),  #: 1 while every queue is paused
        ("closed", ctypes.c_uint64),  #: a bit for each paused queue, in the order of WORKER_QUEUES
        ("fate", ctypes.c_int32),  #: the exit code, if it is to be another than 0 (written by the self-probe)
        ("started_at", ctypes.c_double),
        ("heartbeat", ctypes.c_double),  #: last tick of the supervisor
        ("deadline", ctypes.c_double),  #: when a soft stop turns hard
    )

    supervisor_pid: int
    wanted_consumers: int
    quiet: int
    stopping: int
    ever_connected: int
    suspended: int
    all_closed: int
    closed: int
    fate: int
    started_at: float
    heartbeat: float
    deadline: float


class Scoreboard:
    """Header and slots over one shared anonymous mapping."""

    def __init__(self, max_consumers: int = MAX_CONSUMERS) -> None:
        count = max_consumers + 2
        slots_at = -(-ctypes.sizeof(Header) // 64) * 64
        letters_at = slots_at + count * ctypes.sizeof(Slot)
        self._memory = mmap.mmap(-1, letters_at + ctypes.sizeof(DeadLetterCounts))
        self.dead_letters = DeadLetterCounts.from_buffer(self._memory, letters_at)  #: written by the dispatcher
        self.header = Header.from_buffer(self._memory)
        self._slots = (Slot * count).from_buffer(self._memory, slots_at)
        self.consumers: list[Slot] = [self._slots[index] for index in range(max_consumers)]
        self.dispatcher: Slot = self._slots[max_consumers]
        self.health: Slot = self._slots[max_consumers + 1]
        for index, slot in enumerate(self.consumers):
            slot.role, slot.index = Role.CONSUMER, index
        self.dispatcher.role = Role.DISPATCHER
        self.health.role = Role.HEALTH

    def __iter__(self) -> Iterator[Slot]:
        """Every slot, consumers first, empty ones included."""
        return iter(self._slots)

    def by_name(self) -> dict[str, Slot]:
        """Return the consumers that live or will, by the names under which Redis knows them."""
        wanted = self.header.wanted_consumers
        return {slot.worker_name.decode(): slot for slot in self.consumers if slot.pid or slot.index < wanted}

    def living(self) -> Iterator[Slot]:
        """Slots that hold a process."""
        return (slot for slot in self._slots if slot.pid)

    def idle(self) -> int:
        """Count the consumers that wait for jobs."""
        return sum(1 for slot in self.consumers if slot.pid and slot.state == State.WAITING)

    def calm(self, *, queues_watched: bool) -> bool:
        """Whether no consumer holds claims and every queue is watched, so that we shall notice whatever comes next."""
        return queues_watched and not any(slot.pid and slot.busy for slot in self.consumers)

    def spawned(self) -> int:
        """Count the consumers that there have been, successors included."""
        return sum(slot.generation for slot in self.consumers)

    def ended(self) -> int:
        """Count the attempts that have ended."""
        return sum(slot.finished + slot.failed + slot.buried for slot in self.consumers)

    def buried(self) -> int:
        """Count the jobs that have been buried."""
        return sum(slot.buried for slot in self.consumers)

    def last_claim_at(self) -> float:
        """When Redis last answered a consumer's claim (monotonic), be it one that has died since; 0 = never."""
        return max(slot.claimed_at for slot in self.consumers)

    def seconds_since_claim(self, now: float) -> float | None:
        """Return for how many seconds no living consumer has proved that it can claim; None when none ever has."""
        latest = max((slot.claimed_at for slot in self.consumers if slot.pid), default=0.0)
        return max(0.0, now - latest) if latest else None
