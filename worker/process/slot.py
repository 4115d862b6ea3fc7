"""One child's slot on the scoreboard: who it is, what it is doing, what it was asked to do.

The supervisor owns a slot's identity (`pid`, `generation`, `spawned_at`, `exit_status`), the dispatcher what it asks of
the child; the child owns the rest. There is no lock: every field is aligned and has one writer, and readers decide from
single fields only. Clocks are ``time.monotonic()``, which Linux shares between processes.
"""

from __future__ import annotations

import ctypes
import enum
from time import monotonic


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


class RedisState(enum.IntEnum):
    """How a child's own connection to Redis fares."""

    UNKNOWN = 0  #: never connected, nothing failed yet
    CONNECTED = 1
    OUTAGE = 2


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
        # Written by whoever gets RQ's commands for this child (usually the dispatcher); cleared by the child.
        ("order", ctypes.c_int32),
        ("order_at", ctypes.c_double),
        ("order_job", ctypes.c_char * 128),  #: empty = whatever runs
        ("order_execution", ctypes.c_char * 40),  #: empty = any execution of the job
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
        ("redis_reason", ctypes.c_char * 32),  #: code of the outage, e.g. ``refused``
        ("worker_name", ctypes.c_char * 96),
        ("job_id", ctypes.c_char * 128),  #: empty when no job code runs
        ("execution_id", ctypes.c_char * 40),
        ("finished", ctypes.c_uint64),  #: since the service began: successors go on counting
        ("failed", ctypes.c_uint64),  #: attempts that raised, retried or not
        ("buried", ctypes.c_uint64),
        ("busy_seconds", ctypes.c_double),
        ("retry_due", ctypes.c_double),  #: when the next job that this child has scheduled is due
    )

    role: int
    index: int
    pid: int
    generation: int
    exit_status: int
    spawned_at: float
    stop_asked_at: float
    exit_reason: bytes
    order: int
    order_at: float
    order_job: bytes
    order_execution: bytes
    unanswered_since: float
    state: int
    redis_state: int
    heartbeat: float
    redis_since: float
    blocking_since: float
    claimed_at: float
    job_started_at: float
    job_deadline: float
    redis_reason: bytes
    worker_name: bytes
    job_id: bytes
    execution_id: bytes
    finished: int
    failed: int
    buried: int
    busy_seconds: float
    retry_due: float

    @property
    def busy(self) -> bool:
        """Whether the child may hold claims. With threads it may wait while jobs run; `job_id` shows one of them."""
        return bool(self.job_id) or self.state != State.WAITING

    def tick(self, state: State) -> None:
        """Show that the child's loop turns, and in which state."""
        self.state = state
        self.heartbeat = monotonic()

    def begin_job(self, job_id: str, execution_id: str, timeout: float) -> None:
        """Show the job whose code runs from now on; `timeout` in seconds, 0 for none."""
        now = monotonic()
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

    def give_order(self, order: Order, job_id: str = "", execution_id: str = "") -> None:
        """Order the child to end the job `job_id`, or whatever runs if that is empty."""
        self.order_job = job_id.encode()[:128]
        self.order_execution = execution_id.encode()[:40]
        self.order_at = monotonic()
        self.order = order

    def ordered(self, job_id: str, execution_id: str) -> Order:
        """Return what the child is ordered to do with this execution of the job."""
        job, execution = job_id.encode()[:128], execution_id.encode()[:40]
        meant = self.order_job in (b"", job) and self.order_execution in (b"", execution)
        return Order(self.order) if meant else Order.NONE

    def deaf_for(self, now: float) -> float:
        """Return for how many seconds jobs have waited although this child is idle; 0 = it is not deaf."""
        since = self.unanswered_since
        deaf = since > max(self.spawned_at, self.claimed_at) and self.state == State.WAITING
        return now - since if deaf else 0.0

    def redis_changed(self, state: RedisState, reason: str = "") -> None:
        """Record an edge of the connection's state, or another reason of the same outage; `reason` is a code."""
        self.redis_reason = reason.encode()[:32]
        if state != self.redis_state or not self.redis_since:
            self.redis_since = monotonic()
        self.redis_state = state
