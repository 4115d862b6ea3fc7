"""RQ's commands: stop-job, stop-execution, kill-horse, shutdown.

They come over RQ's pub/sub channels, one a worker. Nobody keeps what is published while nobody listens, so a consumer
begins no job before its slot says that commands are heard (``consumer/heard.py``). The dispatcher listens for all
consumers of its instance on one connection; a consumer that runs alone has a thread for it. A command is written as an
order on the consumer's slot, and a signal lets the consumer look there. `shutdown` ends a consumer after its job; the
supervisor then starts another in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from redis import Redis

from worker import logs
from worker.keys import Keys
from worker.process.orders import obey, read
from worker.process.slot import Commands, Slot
from worker.redis.client import translating
from worker.redis.private import fileno_of
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

log = logs.get_logger()

#: How long the server may take to confirm a subscription.
CONFIRM_SECONDS: Final = 5.0
#: How long it may take to answer a PING on the connection before that is dead.
ANSWER_SECONDS: Final = 10.0
#: A subscription that the server has refused is asked for again after so long.
REFUSED_SECONDS: Final = 60.0


class RqCommands:
    """Listens for the consumers that `consumers` returns, by worker name.

    `connect` makes a client whose connection is only used here. After `ping_seconds` of silence it is checked with a
    PING; 0 = never: then only TCP's keepalive finds that it is dead.
    """

    def __init__(
        self, connect: Callable[[], Redis], keys: Keys, consumers: Callable[[], Mapping[str, Slot]], ping_seconds: float
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._consumers = consumers
        self._ping_seconds = ping_seconds
        self._client: Redis | None = None
        self._connection: Any = None
        self._channels: dict[bytes, Slot] = {}
        self._heard_at = self._pinged_at = 0.0
        self._refused_at = float("-inf")

    @property
    def due(self) -> float:
        """When `check` has something to do (monotonic)."""
        if self._connection is None or not self._ping_seconds:
            return float("inf")
        if self._pinged_at > self._heard_at:
            return self._pinged_at + ANSWER_SECONDS
        return self._heard_at + self._ping_seconds

    def subscribe(self) -> None:
        """Subscribe to the channel of every consumer that is new, and wait for the confirmation.

        Raises `RedisTrouble`, but not where the server refuses it: then it is logged, and nobody hears commands.
        """
        wanted = {self._keys.channel(name).encode(): slot for name, slot in self._consumers().items()}
        missing = {channel: slot for channel, slot in wanted.items() if channel not in self._channels}
        if not missing or monotonic() - self._refused_at < REFUSED_SECONDS:
            return
        try:
            with translating():
                self._subscribe(missing)
        except RedisTrouble as reason:
            self.close()
            if not reason.refuses_command:
                raise
            if self._refused_at == float("-inf"):
                log.warning("orders.refused", code=reason.code, fix=reason.trouble.fix, detail=reason.detail or None)
            self._refused_at = monotonic()
            for slot in wanted.values():
                slot.commands = Commands.REFUSED
        else:
            self._refused_at = float("-inf")

    def filenos(self) -> list[int]:
        """Return the socket to select on."""
        fd = fileno_of(self._connection)
        return [] if fd is None else [fd]

    def pass_on(self) -> None:
        """Pass the commands that have come on to their consumers, without waiting.

        A connection that was cut is opened again by the next `subscribe`, which raises when Redis is away: providers
        cut connections that are silent for minutes, and that is no outage.
        """
        try:
            with translating():
                while self._connection is not None and self._connection.can_read(timeout=0):
                    self._take(self._connection.read_response(push_request=True))
        except RedisTrouble as reason:
            self._lose(reason)

    def check(self) -> None:
        """Send a PING if it is time; give the connection up if the last one was not answered."""
        if monotonic() < self.due:
            return
        if self._pinged_at > self._heard_at:
            self._lose(trouble("read_timeout"))
            return
        try:
            with translating():
                self._connection.send_command("PING", check_health=False)
        except RedisTrouble as reason:
            self._lose(reason)
        self._pinged_at = monotonic()

    def close(self) -> None:
        """Drop the connection; the next `subscribe` opens it again, for every channel."""
        for slot in self._channels.values():
            slot.commands = Commands.UNHEARD
        self._channels.clear()
        connection, self._connection = self._connection, None
        client, self._client = self._client, None
        if connection is not None and client is not None:
            with suppress(OSError):
                connection.disconnect()
            client.connection_pool.release(connection)
            client.close()

    def _subscribe(self, missing: Mapping[bytes, Slot]) -> None:
        if self._connection is None:
            self._client = self._connect()
            self._connection = self._client.connection_pool.get_connection()
        for slot in missing.values():
            slot.commands = Commands.UNHEARD
        self._connection.send_command("SUBSCRIBE", *missing, check_health=False)
        self._channels.update(missing)
        until = monotonic() + CONFIRM_SECONDS
        while any(slot.commands != Commands.HEARD for slot in missing.values()):
            if not self._connection.can_read(timeout=max(0.0, until - monotonic())):
                raise trouble("read_timeout")
            self._take(self._connection.read_response(push_request=True))

    def _take(self, message: Any) -> None:
        """Take in what the server has sent: a confirmation, a command, or (RESP3: no list) the answer to a PING."""
        self._heard_at = monotonic()
        kind, channel, content = message if isinstance(message, list) and len(message) == 3 else (b"", b"", None)
        slot = self._channels.get(channel)
        if slot is None:
            return
        if kind == b"subscribe":
            slot.commands = Commands.HEARD
        elif kind == b"message":
            try:
                obey(slot, read({"data": content}), slot.pid)
            except Exception:  # anybody may publish anything
                log.exception("order.failed", channel=channel.decode(errors="replace"))

    def _lose(self, reason: RedisTrouble) -> None:
        log.info("orders.connection_lost", error=reason.code)
        self.close()
