"""Claim ahead: wait for a queue to have something and claim it, in one request.

``BLMOVE q q LEFT LEFT t`` on one and the same list blocks until it is not empty and moves nothing (``doorbell.py``).
Behind it, on the same connection, stands a claim: the server runs it the moment a job is pushed, and the job comes with
the answer. A single job costs two round trips, this one and the one that settles it, instead of three, and nobody has
to be woken on the way.

It works for one queue, because a connection blocks on one list. The consumers of an instance take turns
(`worker.process.claim_turn`), or each push would wake all of them.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from worker.engine.claims import Claims
from worker.engine.records import ClaimReply
from worker.redis.client import raise_translated, translating
from worker.redis.doorbell import BLOCK_SECONDS, LATE_SECONDS
from worker.redis.private import fileno_of
from worker.redis.troubles import trouble


class BlockingClaim:
    """The request of one consumer. `begin`, `answered` and `finish` raise `RedisTrouble`; `abandon` follows them."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._connection: Any = None
        self._asked_at = self._ends_at = 0.0
        self.woken = False  #: whether the last answer came because there was something, which another may have by now

    def begin(self, capacity: int, seconds: float, *, if_heard: bool = False, others_running: bool = False) -> None:
        """Ask for up to `capacity` jobs as soon as there are any, or after `seconds` (or the longest block).

        With `if_heard` none is claimed while nobody listens for RQ's commands to this worker: those about it would be
        lost. The server knows that first, when a dispatcher dies. `others_running`: see `Claims.settle_and_claim`.
        """
        self.woken = False
        block = max(0.1, min(seconds, BLOCK_SECONDS))
        seconds = round(block, 1)
        commands = self._claims.claim_when_ready(capacity, seconds, if_heard=if_heard, others_running=others_running)
        with translating():
            self._connection = self._claims.redis.connection_pool.get_connection()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        self._asked_at = monotonic()
        self._ends_at = self._asked_at + block

    def fileno(self) -> int:
        """Return what to select on: readable when the answer comes."""
        fd = fileno_of(self._connection)
        if fd is None:
            raise trouble("reset")
        return fd

    def answered(self) -> bool:
        """Whether what can be read is an answer (with TLS it may be none)."""
        with translating():
            return bool(self._connection.can_read(timeout=0))

    def check_overdue(self) -> None:
        """Raise `RedisTrouble` when the answer should have come long ago: the connection is dead."""
        if monotonic() > self._ends_at + LATE_SECONDS:
            raise trouble("read_timeout")

    def finish(self) -> ClaimReply:
        """Read the answer, which has begun to come, and give the connection back."""
        error: RedisError | None = None
        replies: list[Any] = []
        for _ in range(2):
            try:
                replies.append(self._connection.read_response())
            except NoScriptError:
                replies.append(None)  # the server has lost the scripts: the request that follows brings them
            except RedisError as refused:
                if not self._connection.is_connected:
                    raise_translated(refused)
                error = refused
        connection, self._connection = self._connection, None
        self._claims.redis.connection_pool.release(connection)
        if error is not None:
            raise_translated(error)
        self.woken = replies[0] is not None
        if replies[1] is None:
            return ClaimReply()
        reply = ClaimReply.read(replies[1], settled=False)
        self._claims.clock.hear(reply.moment, self._asked_at)
        return reply

    def abandon(self) -> bool:
        """Hang up if nothing has come yet; True when there was something to hang up.

        The server may have claimed just before it notices: whoever abandons must recover.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return False
        connection.disconnect()
        self._claims.redis.connection_pool.release(connection)
        return True
