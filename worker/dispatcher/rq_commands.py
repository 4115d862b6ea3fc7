"""RQ's commands: stop-job, stop-execution, kill-horse, shutdown.

They come over RQ's pub/sub channels, one a worker. The dispatcher listens to those of all consumers of its instance on
one connection. It writes a command as an order on the consumer's slot and signals the consumer to look there.
`shutdown` ends a consumer after its job; the supervisor then starts another in its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from redis.client import PubSub
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from worker import logs
from worker.process.orders import obey, read
from worker.process.slot import Slot
from worker.redis.client import translating
from worker.redis.private import fileno_of
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()


class RqCommands:
    """Listens for one instance; `connect` makes a client whose connection is only used here."""

    def __init__(self, connect: Callable[[], Redis], consumers: Sequence[Slot]) -> None:
        self._connect = connect
        self._consumers = consumers
        self._pubsub: Any = None  # redis-py's PubSub, which is not typed well enough
        self._channels: dict[bytes, Slot] = {}

    def subscribe(self) -> None:
        """Subscribe to the channel of every consumer that is new; raises `RedisTrouble`."""
        missing = {
            (PUBSUB_CHANNEL_TEMPLATE % slot.worker_name.decode()).encode(): slot
            for slot in self._consumers
            if slot.pid and slot.worker_name
        }
        missing = {channel: slot for channel, slot in missing.items() if channel not in self._channels}
        if not missing:
            return
        if self._pubsub is None:
            self._pubsub = PubSub(self._connect().connection_pool, ignore_subscribe_messages=True)
        with translating():
            self._pubsub.subscribe(*missing)
        self._channels.update(missing)

    def filenos(self) -> list[int]:
        """Return the socket to select on."""
        fd = fileno_of(self._pubsub.connection) if self._pubsub is not None else None
        return [] if fd is None else [fd]

    def pass_on(self) -> None:
        """Pass the commands that have come on to their consumers, without waiting.

        A connection that was cut is opened again by the next `subscribe`, which raises when Redis is away: providers
        cut connections that are silent for minutes, and that is no outage.
        """
        try:
            with translating():
                while self._pubsub is not None and (message := self._next()) is not None:
                    slot = self._channels.get(message["channel"])
                    if slot is not None and slot.pid:
                        obey(slot, read(message), slot.pid)
        except RedisTrouble as trouble:
            log.info("orders.connection_lost", error=trouble.code)
            self.close()

    def close(self) -> None:
        """Drop the connection; the next `subscribe` opens it again, for every channel."""
        pubsub, self._pubsub = self._pubsub, None
        self._channels.clear()
        if pubsub is not None:
            with contextlib.suppress(OSError):
                pubsub.close()

    def _next(self) -> dict[str, Any] | None:
        while self._pubsub.connection is not None and self._pubsub.connection.can_read(timeout=0):
            message: dict[str, Any] | None = self._pubsub.get_message(timeout=0)
            if message is not None:
                return message  # None: the answer to a subscription
        return None
