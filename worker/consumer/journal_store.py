"""Keep a run's journal in Redis, behind the fence of its claim; know whether the run may go on.

A write that Redis does not take is tried again by the rules of an outage, until shortly before the job's timeout. While
the service stops nothing is waited for: the job is handed back without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from worker import logs
from worker.context import ShutdownRequested
from worker.engine.records import Claim, pairs
from worker.journal import ClaimLost, Entry, NotKept, entries, standing_of
from worker.process.slot import Slot
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.redis.client import Client, translating
from worker.redis.outage import delay_after
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: A run asks the server no more often than this whether it still counts.
LOOK_SECONDS: Final = 1.0
#: Waiting for Redis ends so long before the job's timeout, to say in words why the job failed.
MARGIN_SECONDS: Final = 2.0
#: The longest sleep between two looks at the stop flag while Redis is away.
NAP_SECONDS: Final = 0.25


class JournalStores:
    """Makes the store of each run of one consumer. `stopping` says whether the service stops.

    `most_bytes` bounds one result; 0 = by `MOST_BYTES` alone.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        worker_name: str,
        *,
        slot: Slot,
        stopping: Callable[[], bool],
        most_bytes: int = 0,
    ) -> None:
        self.most_bytes = most_bytes
        self.calls = ScriptCalls(_Interruptible.over(redis), prefix)
        self.worker_name = worker_name
        self.slot = slot
        self.stopping = stopping
        self.kept: Callable[[Claim], None] = lambda _claim: None  #: called when a run has written

    def of(self, claim: Claim) -> RedisStore:
        """Return the store of a run that has begun."""
        return RedisStore(self, claim)


class RedisStore:
    """The store of one run (see `worker.journal.Store`). After a write the claim's hash has the field ``journal``."""

    def __init__(self, stores: JournalStores, claim: Claim) -> None:
        self._stores = stores
        self._claim = claim
        self._created_at = claim.fields.get(b"created_at", b"")
        self._asked_at = monotonic()

    @property
    def stopping(self) -> bool:
        """Whether the service stops."""
        return self._stores.stopping()

    @property
    def ordered(self) -> bool:
        """Whether the slot has an order about this run."""
        slot = self._stores.slot
        return bool(slot.order_at) and any(slot.order_for(run) for run in self._runs())

    @property
    def deadline(self) -> float:
        """When the job's timeout ends it, as the slot shows it."""
        return next((run.deadline for run in self._runs() if run.deadline > 0), float("inf"))

    def read(self) -> list[Entry]:
        """Read what earlier runs have kept; no command where they have kept nothing."""
        if not standing_of(self._claim.fields):
            return []
        return entries(pairs(self._persist("what its steps have kept cannot be read", "read")))

    def write(self, field: str, text: str, standing: str) -> None:
        """Keep one field."""
        kind, _, name = field.partition(":")
        self._persist(f"what the {kind} {name!r} has done cannot be kept", "write", field, text, standing)
        self._claim.fields[b"journal"] = self._created_at + b" " + standing.encode()
        self._claim.fields.pop(b"handbacks", None)
        self._stores.kept(self._claim)

    def look(self) -> None:
        """Ask whether the run still counts; trouble with Redis is no answer, and is asked again later."""
        if monotonic() - self._asked_at < LOOK_SECONDS:
            return
        self._asked_at = monotonic()
        try:
            self._ask("look")
        except RedisTrouble as trouble:
            log.debug("job.check_unanswered", code=trouble.code)

    def _persist(self, what: str, *args: str) -> list[bytes]:
        """Ask until Redis has answered, or it is too late for the job."""
        tries, since = 0, monotonic()
        while True:
            try:
                reply = self._ask(*args)
            except RedisTrouble as trouble:
                tries += 1
                left = self.deadline - MARGIN_SECONDS - monotonic()
                if self.stopping:
                    raise ShutdownRequested(f"Redis is away, so {what}") from trouble
                hopeless = trouble.refuses_this and trouble.code != "out_of_memory"
                if left <= 0 or hopeless:
                    waited = "" if hopeless else " before the job's timeout"
                    raise NotKept(f"Redis does not answer as it should, so {what}{waited}. {trouble}") from trouble
                if tries == 1:
                    log.warning("job.step_waits", code=trouble.code, sentence=trouble.trouble.sentence)
                self._sleep(min(delay_after(tries, trouble), left))
            else:
                if tries:
                    log.info("job.step_waited", seconds=round(monotonic() - since, 1))
                return reply

    def _ask(self, *args: str) -> list[bytes]:
        """Run the script; raises `ClaimLost`."""
        claim, stores = self._claim, self._stores
        run = (claim.job_id, claim.execution_id, claim.origin, self._created_at)
        reply: list[bytes]
        ours, *reply = stores.calls.call(scripts.JOURNAL, *run, *args, worker_name=stores.worker_name)
        self._asked_at = monotonic()
        if not ours:
            status = reply[0].decode(errors="replace")
            raise ClaimLost("deleted" if not status else "canceled" if status == "canceled" else "taken over")
        return reply

    def _sleep(self, seconds: float) -> None:
        until = monotonic() + seconds
        while not self.stopping and (left := until - monotonic()) > 0:
            time.sleep(min(left, NAP_SECONDS))

    def _runs(self) -> list[Any]:
        own = self._claim.execution_id.encode()[:40]
        return [run for run in self._stores.slot.running() if run.execution_id == own]


class _Interruptible(Client):
    """A client for code that a timeout, a stop or an order may interrupt between two bytecodes.

    A connection that was interrupted between command and reply is closed: its next user would get that reply.
    """

    def execute_command(self, *args: Any, **_options: Any) -> Any:
        """Send one command and return its reply as it came; raises `RedisTrouble`."""
        pool = self.connection_pool
        with translating():
            connection = pool.get_connection()
            try:
                connection.send_command(*args)  # type: ignore[no-untyped-call]
                return connection.read_response()
            except ResponseError:
                raise
            except BaseException:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise
            finally:
                pool.release(connection)
