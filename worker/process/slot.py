"""One child's slot on the scoreboard: who it is, what it is doing, what it was asked to do.

The supervisor owns a slot's identity (`pid`, `generation`, `spawned_at`, `exit_status`), the dispatcher what it asks of
the child; the child owns the rest. There is no lock: every field is aligned and has one writer, and readers decide from
single fields only. Clocks are ``time.monotonic()``, which Linux shares between processes.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple

#: Threads that one consumer can have (WORKER_THREADS): each has a place on the slot.
MOST_THREADS: Final = 256
#: Jobs whose outcome the server refused that one consumer shows; the search for the culprit leaves fewer each time.
MOST_REFUSED: Final = 64
#: Orders that can wait to be obeyed by one consumer.
MOST_ORDERS: Final = 32
#: An order to stop a job holds for a job that begins this much later: it was claimed, or its process was replaced.
EARLY_SECONDS: Final = 10.0


class Role(enum.IntEnum):
    """What a child is for."""

    CONSUMER = 1
    DISPATCHER = 2
    HEALTH = 3


class State(enum.IntEnum):
    """What a child is doing now."""

    EMPTY = 0  #: no process in this slot
    BOOTING = 1
    CONNECTING = 2  #: first connection, or an outage
    WAITING = 3  #: idle: asleep until it is woken, or blocked in a claim
    CLAIMING = 4  #: talking to Redis: claim, settle, release
    BUSY = 5  #: job code runs
    DRAINING = 6  #: asked to stop; finishes what it holds
    SERVING = 7  #: dispatcher and health: the loop ticks


class Order(enum.IntEnum):
    """What the child is ordered to do with its job (RQ's commands)."""

    NONE = 0
    STOP = 1  #: stop-job, stop-execution: the job ends as "stopped"
    KILL = 2  #: kill-horse: the job ends as failed


class Commands(enum.IntEnum):
    """Whether somebody hears RQ's commands to a consumer."""

    UNHEARD = 0  #: nobody yet, or no longer
    HEARD = 1
    REFUSED = 2  #: the server does not allow it


class RedisState(enum.IntEnum):
    """How a child's own connection to Redis fares."""

    UNKNOWN = 0  #: never connected, nothing failed yet
    CONNECTED = 1
    OUTAGE = 2


class Running(NamedTuple):
    """One job whose code runs, or ran when the process died. Moments are of the monotonic clock."""

    job_id: bytes
    execution_id: bytes
    began_at: float
    deadline: float  #: 0 = no timeout
    reading: bool = False  #: its payload is being read, or its function looked up: none of its code has begun


class GivenOrder(ctypes.Structure):
    """One of RQ's commands to a consumer."""

    __slots__ = ()
    _fields_ = (
        ("order", ctypes.c_int32),
        ("given_at", ctypes.c_double),
        ("job_id", ctypes.c_char * 128),  #: empty = whatever runs
        ("execution_id", ctypes.c_char * 40),  #: empty = any execution of the job
    )

    order: int
    given_at: float
    job_id: bytes
    execution_id: bytes

    def means(self, run: Running) -> bool:
        """Whether it is about this execution of the job."""
        return self.job_id in (b"", run.job_id) and self.execution_id in (b"", run.execution_id)

    def holds_for(self, run: Running) -> bool:
        """Whether this execution must end by it: an order about no certain job does not wait for the next one."""
        until = self.given_at + EARLY_SECONDS if self.job_id else self.given_at
        return bool(self.order) and run.began_at <= until and self.means(run)


class ThreadRun(ctypes.Structure):
    """What one thread of a consumer runs; written by that thread."""

    __slots__ = ()
    _fields_ = (
        ("began_at", ctypes.c_double),
        ("deadline", ctypes.c_double),
        ("job_id", ctypes.c_char * 128),
        ("execution_id", ctypes.c_char * 40),  #: empty = nothing
        ("pid", ctypes.c_int32),  #: of the process that a forked job leads; 0 = it runs in the consumer
        ("reading", ctypes.c_int32),  #: 1 = its payload is being read
    )

    began_at: float
    deadline: float
    job_id: bytes
    execution_id: bytes
    pid: int
    reading: int

    def begin(
        self,
        job_id: str,
        execution_id: str,
        began_at: float,
        deadline: float,
        pid: int = 0,
        *,
        reading: bool = False,
    ) -> None:
        """Name the job whose code runs from now on, or whose payload is read."""
        self.job_id = job_id.encode()[:128]
        self.began_at = began_at
        self.deadline = deadline
        self.pid = pid
        self.reading = reading
        self.execution_id = execution_id.encode()[:40]

    def end(self) -> None:
        """Say that no job code runs any more."""
        self.execution_id = b""
        self.deadline = 0.0


class Slot(ctypes.Structure):
    """One child. Texts are UTF-8, NUL-padded and cut to the field's size."""

    __slots__ = ()  # or a misspelt field would be a new attribute of one process: neither ctypes nor mypy objects
    _fields_ = (
        ("role", ctypes.c_int32),
        ("index", ctypes.c_int32),
        # Written by the supervisor.
        ("pid", ctypes.c_int32),
        ("generation", ctypes.c_uint32),  #: how many children this slot has had
        (
            "exit_status",
            ctypes.c_int32,
        ),  #: of the last child: exit code, or minus the signal; see `exit_reason`
        ("spawned_at", ctypes.c_double),
        ("stop_asked_at", ctypes.c_double),  #: when this child was asked to stop; 0 = it was not
        ("exit_reason", ctypes.c_char * 32),  #: why the supervisor killed the last child: timeout, stalled, …
        ("exited_at", ctypes.c_double),  #: when the last child was found dead
        # Written by whoever hears RQ's commands for this child (the dispatcher), or does no longer (the supervisor).
        ("commands", ctypes.c_int32),
        ("orders_given", ctypes.c_uint32),
        ("order_at", ctypes.c_double),  #: when the last one was given; 0 = none was
        ("orders", GivenOrder * MOST_ORDERS),  #: a ring; the child clears what it has obeyed
        # Written by the dispatcher.
        ("unanswered_since", ctypes.c_double),  #: since when this idle consumer has ignored wake-ups; 0 = it answers
        # Written by the child.
        ("state", ctypes.c_int32),
        ("redis_state", ctypes.c_int32),
        ("heartbeat", ctypes.c_double),  #: last tick of its loop
        ("redis_since", ctypes.c_double),  #: when `redis_state` began
        ("blocking_since", ctypes.c_double),  #: when its blocking claim began; 0 = it has none
        ("claimed_at", ctypes.c_double),  #: last time Redis answered a claim, even an empty one
        ("job_started_at", ctypes.c_double),
        ("job_deadline", ctypes.c_double),  #: 0 = no timeout
        ("job_pid", ctypes.c_int32),  #: of the process that a forked job leads; 0 = it runs in the consumer
        ("job_reading", ctypes.c_int32),  #: 1 = its payload is being read
        ("redis_reason", ctypes.c_char * 32),  #: code of the outage, e.g. ``refused``
        ("redis_commands", ctypes.c_char * 256),  #: the commands that the server refuses, if it is about some
        ("worker_name", ctypes.c_char * 96),
        ("job_id", ctypes.c_char * 128),  #: empty when no job code runs
        ("execution_id", ctypes.c_char * 40),
        ("finished", ctypes.c_uint64),  #: since the service began: successors go on counting
        ("failed", ctypes.c_uint64),  #: attempts that raised, retried or not
        ("buried", ctypes.c_uint64),
        ("busy_seconds", ctypes.c_double),
        ("commands_wanted_at", ctypes.c_double),  #: when it last waited for somebody to hear commands
        ("run_count", ctypes.c_int32),  #: how many of `runs` are in use; 0 = jobs run in the main thread only
        ("beside_count", ctypes.c_int32),  #: how many of `runs` behind the first are for callbacks beside that job
        ("runs", ThreadRun * (1 + MOST_THREADS)),  #: the first is the main thread's, beside those of the pool
        ("retry_due", ctypes.c_double),  #: when the next job that this child has scheduled is due, as far as it knows
        ("beaten_at", ctypes.c_double),  #: last heartbeat that a consumer without an instance has sent for itself
        ("errands", ctypes.c_int32),  #: what follows on ended jobs and is under way: webhooks, many dependents
        ("chores_refused", ctypes.c_char * 256),  #: chores to which the server refuses commands: ``rescue (ZADD)``
        ("refused", (ctypes.c_char * 40) * MOST_REFUSED),  #: executions whose outcome the server does not take
    )

    role: int
    index: int
    pid: int
    generation: int
    exit_status: int
    spawned_at: float
    stop_asked_at: float
    exit_reason: bytes
    exited_at: float
    commands: int
    orders_given: int
    order_at: float
    orders: ctypes.Array[GivenOrder]
    unanswered_since: float
    state: int
    redis_state: int
    heartbeat: float
    redis_since: float
    blocking_since: float
    claimed_at: float
    job_started_at: float
    job_deadline: float
    job_pid: int
    job_reading: int
    redis_reason: bytes
    redis_commands: bytes
    worker_name: bytes
    job_id: bytes
    execution_id: bytes
    finished: int
    failed: int
    buried: int
    busy_seconds: float
    commands_wanted_at: float
    run_count: int
    beside_count: int
    runs: ctypes.Array[ThreadRun]
    retry_due: float
    beaten_at: float
    errands: int
    chores_refused: bytes
    refused: ctypes.Array[ctypes.Array[ctypes.c_char]]

    @property
    def refused_executions(self) -> list[str]:
        """The executions that the child holds, or held when it died, and whose outcome the server does not take."""
        return [held.value.decode() for held in self.refused if held.value]

    def note_refused(self, executions: Sequence[str]) -> None:
        """Show for which executions that is so now."""
        for index, held in enumerate(self.refused):
            held.value = executions[index].encode()[:40] if index < len(executions) else b""

    @property
    def busy(self) -> bool:
        """Whether the child may hold claims. With threads it may wait while jobs run; `job_id` shows one of them."""
        return bool(self.job_id) or self.state != State.WAITING or any(run.execution_id for run in self._beside())

    def tick(self, state: State) -> None:
        """Show that the child's loop turns, and in which state."""
        self.state = state
        self.heartbeat = monotonic()

    def begin_job(self, job_id: str, execution_id: str, timeout: float, pid: int = 0, *, reading: bool = False) -> None:
        """Show the job whose code runs from now on, or whose payload is read.

        `timeout` is in seconds, 0 for none; `pid` is that of the job's own fork.
        """
        now = monotonic()
        self.job_pid = pid
        self.job_reading = reading
        self.execution_id = execution_id.encode()[:40]
        self.job_id = job_id.encode()[:128]
        self.job_started_at = now
        self.job_deadline = now + timeout if timeout > 0 else 0.0
        self.state = State.BUSY
        self.heartbeat = now

    def end_job(self) -> None:
        """Show that no job code runs any more."""
        now = monotonic()
        self.job_deadline = 0.0
        self.busy_seconds += now - self.job_started_at
        self.job_id = b""
        self.execution_id = b""
        self.heartbeat = now

    def note_scheduled(self, delay: float) -> None:
        """Note that this child has scheduled a job, due in `delay` seconds; only the job that is due first is kept."""
        now = monotonic()
        if self.retry_due <= now or now + delay < self.retry_due:
            self.retry_due = now + delay

    def running(self) -> list[Running]:
        """Return the jobs whose code runs, or ran when the child died."""
        runs = self.runs[: self.run_count] if self.run_count else self._beside()
        found = [Running(run.job_id, run.execution_id, run.began_at, run.deadline, bool(run.reading)) for run in runs]
        if not self.run_count:
            found.insert(0, self.own_run)
        return [run for run in found if run.execution_id]

    @property
    def own_run(self) -> Running:
        """The job that the slot itself shows: the main thread's, or of the pool's that whose deadline comes first."""
        return Running(self.job_id, self.execution_id, self.job_started_at, self.job_deadline, bool(self.job_reading))

    def overdue_beside(self, now: float) -> bool:
        """Whether something is past its deadline that `job_deadline` does not show."""
        runs = self.runs[:1] if self.run_count else self._beside()
        return any(run.began_at >= self.spawned_at and 0 < run.deadline <= now for run in runs)

    def _beside(self) -> list[ThreadRun]:
        """Return the places of callbacks that run beside the main thread's job."""
        return self.runs[1 : 1 + self.beside_count]

    def forked_pids(self) -> list[int]:
        """Return the processes of the jobs that run in forks, or ran when the child died; each leads a group."""
        if self.run_count:
            return [run.pid for run in self.runs[: self.run_count] if run.execution_id and run.pid]
        return [self.job_pid] if self.execution_id and self.job_pid else []

    def give_order(self, order: Order, job_id: str = "", execution_id: str = "") -> None:
        """Tell the child to end the job `job_id`, or whatever runs when it is empty."""
        given = self.orders[self.orders_given % MOST_ORDERS]
        given.order = Order.NONE  # what is half written is no order
        given.job_id = job_id.encode()[:128]
        given.execution_id = execution_id.encode()[:40]
        given.given_at = self.order_at = monotonic()
        given.order = order
        self.orders_given += 1

    def order_for(self, run: Running) -> GivenOrder | None:
        """Return the order by which a job must end, if there is one."""
        if run.began_at > self.order_at + EARLY_SECONDS:
            return None
        return next((given for given in self.orders if given.holds_for(run)), None)

    def forget_orders(self, run: Running) -> None:
        """Clear the orders that name a job: it has ended."""
        for given in self.orders:
            if given.job_id and given.means(run):
                given.order = Order.NONE

    def note_chores(self, refused: str) -> None:
        """Show to which of the dispatcher's chores the server refuses commands."""
        self.chores_refused = refused.encode()[:256]

    def note_errands(self, count: int) -> None:
        """Show how many errands the child has (``engine/errands.py``)."""
        self.errands = count

    def deaf_for(self, now: float) -> float:
        """Return for how many seconds jobs have waited although this child is idle; 0 = it is not deaf."""
        since = self.unanswered_since
        deaf = since > max(self.spawned_at, self.claimed_at) and self.state == State.WAITING
        return now - since if deaf else 0.0

    def redis_changed(self, state: RedisState, reason: str = "", commands: str = "") -> None:
        """Record an edge of the connection's state, or another reason of the same outage; `reason` is a code.

        `commands` are those that the server refuses to this user: ``HSET, XADD``.
        """
        self.redis_reason = reason.encode()[:32]
        self.redis_commands = commands.encode()[:256]
        if state != self.redis_state or not self.redis_since:
            self.redis_since = monotonic()
        self.redis_state = state
