"""Wait for a queue to have something, at no cost and without taking it.

``BLMOVE q q LEFT LEFT t`` on one and the same list is an atomic no-op that blocks until the list is not empty (verified
on Redis 7.0 and Valkey 9.1; it wakes every waiter). One connection a queue, so one thread can watch many with select.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from redis import Redis

from worker.keys import Keys
from worker.redis.client import translating
from worker.redis.private import fileno_of
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

#: How long one BLMOVE blocks. Below the idle cuts of providers (Upstash 310 s, load balancers 350 s) with a margin.
BLOCK_SECONDS: Final = 280.0
#: A reply that is later than this after its block ended means a dead connection.
LATE_SECONDS: Final = 15.0
#: Between two looks at a key that holds something else than a queue.
WRONG_TYPE_SECONDS: Final = 5.0


class Doorbell:
    """One blocked connection a queue.

    `connect` makes a client whose connections are only used here. `arm` and `rung` raise `RedisTrouble`; they close the
    line that it concerns, and the next `arm` opens it again.
    """

    def __init__(
        self,
        connect: Callable[[], Redis],
        prefix: str,
        queues: Sequence[str],
        *,
        block: float = BLOCK_SECONDS,
    ) -> None:
        self._client = connect()
        self._block = block
        keys = Keys(prefix)
        self._lines = [_Line(self._client, keys.queue(queue), keys.resumed, block) for queue in queues]

    def arm(self, closed: int = 0) -> None:
        """Watch every queue that is not watched yet; of the paused ones (`closed`: a bit each) the end of a pause."""
        for at, line in enumerate(self._lines):
            line.arm(closed=bool(closed >> at & 1))

    @property
    def armed(self) -> bool:
        """Whether every queue is watched."""
        return all(line.fileno >= 0 for line in self._lines)

    def filenos(self) -> list[int]:
        """Return the sockets to select on."""
        return [line.fileno for line in self._lines if line.fileno >= 0]

    def rung(self) -> int:
        """Read what came, without blocking; returns how many queues have something."""
        return sum(line.rung() for line in self._lines)

    def close(self) -> None:
        """Close every connection."""
        for line in self._lines:
            line.drop()
        self._client.close()


class _Line:
    def __init__(self, client: Redis, queue: str, resumed: str, block: float) -> None:
        self._pool = client.connection_pool
        self._keys = (queue, resumed)
        self._key = queue  #: which of them is watched
        self._block = block
        self._connection: Any = None
        self._armed_at = 0.0
        self._not_before = 0.0
        self.fileno = -1

    def arm(self, *, closed: bool) -> None:
        if self._key != self._keys[closed]:
            self.drop()
            self._key, self._not_before = self._keys[closed], 0.0
        if monotonic() < self._not_before:
            return
        if self.fileno >= 0:
            if monotonic() - self._armed_at > self._block + LATE_SECONDS:
                self.drop()
                raise trouble("read_timeout")
            return
        try:
            with translating():
                if self._connection is None:
                    self._connection = self._pool.get_connection()
                self._connection.send_command("BLMOVE", self._key, self._key, "LEFT", "LEFT", self._block)
        except RedisTrouble:
            self.drop()
            raise
        self._armed_at = monotonic()
        fd = fileno_of(self._connection)
        self.fileno = -1 if fd is None else fd

    def rung(self) -> bool:
        if self.fileno < 0:
            return False
        try:
            with translating():
                if not self._connection.can_read(timeout=0):
                    return False
                reply = self._connection.read_response()
        except RedisTrouble as reason:
            if reason.code == "wrong_type":  # no queue: the others are watched
                self.fileno, self._not_before = -1, monotonic() + WRONG_TYPE_SECONDS
                return False
            self.drop()
            raise
        self.fileno = -1
        return reply is not None

    def drop(self) -> None:
        connection, self._connection, self.fileno = self._connection, None, -1
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
