"""Connections to Redis: clients are made here. (RQ's queues are not; this path is a contract.)

Clients never retry by themselves: a Lua script that moves a job must not run twice because a reply was lost. The loops
retry, because they know what they hold. These clients raise redis-py's errors; ``redis/client.py`` translates them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, parse_url
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from worker.redis.outage import delay_after
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble
from worker.settings import Settings, redis_url

#: How long connecting, and reading one answer, may take.
TIMEOUT_SECONDS: Final = 5.0
#: With these a peer that is gone without a word is noticed within 5 + 3 × 3 = 14 s, idle or not.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 14_000}
#: Redis Cloud's notices of moves: asking for them is an error on all other servers, and a notice would look to a
#: doorbell like a ring. A move cuts the connection, and that is ridden out.
_NO_NOTICES: Final = MaintNotificationsConfig(enabled=False)


def build_client(settings: Settings, *, client_name: str, blocking: bool = False, max_connections: int = 5) -> Redis:
    """Make a client; it connects when it is first used.

    `blocking`: its connections wait in blocking commands, so no PING may come between.
    Raises `RedisTrouble` (bad_url).
    """
    if settings.redis_url is None:
        raise trouble("bad_url")
    url = settings.redis_url.get_secret_value()
    own: dict[str, Any] = {
        "client_name": client_name,
        "max_connections": max_connections,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        "health_check_interval": 0 if blocking else settings.pace.health_check,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,  # no slower than RESP2 with hiredis: 77 against 78 µs a job, 24 interleaved rounds
        "maint_notifications_config": _NO_NOTICES,
    }
    with suppress(ValueError):  # its words quote parts of the URL, so it must not even be the context of what is raised
        if urlsplit(url).scheme != "unix":
            own["socket_keepalive"] = True
            own["socket_keepalive_options"] = {
                getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
            }
        named: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        asked = {name: value for name, value in named.items() if name not in redis_url.IGNORED}
        return Redis.from_pool(ConnectionPool(**{**own, **asked}))
    raise trouble("bad_url")


def clone(client: Redis) -> Redis:
    """Make a client like `client` for blocking commands, with connections of its own."""
    pool = client.connection_pool
    kwargs = {**pool.connection_kwargs, "health_check_interval": 0, "maint_notifications_config": _NO_NOTICES}
    kwargs.pop("maint_notifications_pool_handler", None)  # it belongs to the other pool
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **kwargs))


def connect_with_retry(
    settings: Settings,
    *,
    client_name: str,
    deadline: float | None = None,
    on_trouble: Callable[[RedisTrouble, float], None] | None = None,
) -> Redis:
    """Connect and PING, trying until it works or `deadline` (monotonic) passes.

    Each try resolves the host name anew. The last one begins no later than the deadline and may take its timeouts.
    `on_trouble` gets the reason and the seconds until the next try. Raises `RedisTrouble` with the last reason.
    """
    attempt = 0
    while True:
        attempt += 1
        client: Redis | None = None
        try:
            client = build_client(settings, client_name=client_name)
            _resolve(client)
            client.ping()
        except (RedisError, OSError, RedisTrouble) as error:
            if client is not None:
                client.close()
            reason = translate(error)
            if reason is None:
                raise
        else:
            return client
        delay = delay_after(attempt, reason)
        left = float("inf") if deadline is None else deadline - monotonic()
        if reason.code == "bad_url" or left <= 0:
            raise reason
        delay = min(delay, left)
        if on_trouble is not None:
            on_trouble(reason, delay)
        sleep(delay)


def _resolve(client: Redis) -> None:
    """Resolve the host by itself, so that a name that does not exist is named as such and not as a slow connection."""
    kwargs = client.connection_pool.connection_kwargs
    host = kwargs.get("host")
    if host:
        socket.getaddrinfo(host, kwargs.get("port"), type=socket.SOCK_STREAM)
