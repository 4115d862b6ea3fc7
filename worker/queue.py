"""Connections to Redis: clients are made here. (RQ's queues are not; this path is a contract.)

Clients never retry by themselves: a Lua script that moves a job must not run twice because a reply was lost. The loops
retry, because they know what they hold. A client that somebody else has made (``Redis()`` repeats a command ten times)
is used for nothing but `clone`. These clients raise redis-py's errors; ``redis/client.py`` translates them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

from redis import Redis
from redis import __version__ as redis_version
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from worker.errors import NoScripts
from worker.redis.outage import delay_after
from worker.redis.private import abandon, forced_host_of, leave_to_parent
from worker.redis.sentinel import ASK_SECONDS, Follower, Sentinels, TlsFollower
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble
from worker.settings import Settings, redis_url, sentinel_url

#: How long connecting, and reading one answer, may take.
TIMEOUT_SECONDS: Final = 5.0
#: The longest time that a client which somebody else has configured may wait for one answer.
LONGEST_TIMEOUT_SECONDS: Final = 30.0
#: How many connections a client like another one may have at least: loop, housekeeper, blocking claim, jobs.
FEWEST_CONNECTIONS: Final = 10
#: With these a peer that is gone without a word is noticed within 5 + 3 × 3 = 14 s, idle or not.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 14_000}
#: Redis Cloud's notices of moves: asking for them is an error on all other servers, and a notice would look to a
#: doorbell like a ring. A move cuts the connection, and that is ridden out.
_NO_NOTICES: Final = MaintNotificationsConfig(enabled=False)
#: redis-py looks its own version up in its files for each connection that is not told it: 1.3 MB in each process.
_DRIVER: Final = DriverInfo(lib_version=redis_version)
#: Arguments of somebody else's connections that ours do without: what belongs to the pool, and what changes answers.
_NOT_OURS: Final = (
    "connection_pool",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "himport_registry",
    "legacy_responses",
    "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler",
    "retry_on_error",
    "retry_on_timeout",
)


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
        "driver_info": _DRIVER,
    }
    with suppress(ValueError):  # its words quote parts of the URL, so it must not even be the context of what is raised
        if not url.startswith("unix:"):
            own["socket_keepalive"] = True
            own["socket_keepalive_options"] = _keepalive()
        if sentinel_url.is_sentinel(url):
            named = sentinel_url.read(url)
            return _client_of(ConnectionPool(**{**own, **_asked(named.primary), **_followed(named)}))
        return _client_of(ConnectionPool(**{**own, **_asked(url)}))
    raise trouble("bad_url")


def _asked(url: str) -> dict[str, Any]:
    named: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return {name: value for name, value in named.items() if name not in redis_url.IGNORED}


def _followed(url: sentinel_url.SentinelUrl) -> dict[str, Any]:
    """Return what makes the connections of a pool follow a primary. A process has one set of Sentinels for each URL."""
    sentinels = _sentinels.get(url)
    if sentinels is None:
        clients = [sentinel_client(sentinel) for sentinel in url.sentinels]
        sentinels = _sentinels[url] = Sentinels(clients, url.service)
    return {"connection_class": _follower_of(_asked(url.primary).get("connection_class")), "sentinels": sentinels}


def sentinel_client(url: str) -> Redis:
    """Make a client for one Sentinel (see `SentinelUrl.sentinels`); raises `ValueError`."""
    return _sentinel_client(**_asked(url))


def _sentinel_client(**options: Any) -> Redis:
    """Make a client for one Sentinel, which is asked with small words and must answer soon."""
    own: dict[str, Any] = {
        "client_name": None,
        "max_connections": 1,
        "socket_connect_timeout": ASK_SECONDS,
        "socket_timeout": ASK_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": _keepalive(),
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "maint_notifications_config": _NO_NOTICES,
        "driver_info": _DRIVER,
    }
    return _client_of(ConnectionPool(**{**options, **own}))


def _follower_of(kind: type[Any] | None) -> type[Follower]:
    return TlsFollower if kind is not None and issubclass(kind, SSLConnection) else Follower


#: The Sentinels that this process asks.
_sentinels: Final[WeakValueDictionary[sentinel_url.SentinelUrl, Sentinels]] = WeakValueDictionary()


def require_scripts(client: Redis) -> None:
    """Raise `NoScripts` if `client` is fakeredis without Lua, which would look like an outage that never ends."""
    if client.connection_pool.connection_class.__module__.partition(".")[0] == "fakeredis":
        try:
            client.eval("return 1", 0)
        except ResponseError as error:
            raise NoScripts from error


def clone(client: Redis, *, blocking: bool = False) -> Redis:
    """Make a client for the same server and user as `client`, with connections of its own; leave `client` as it is.

    Whatever `client` does: this one sends a command once, waits for an answer no longer than
    LONGEST_TIMEOUT_SECONDS, notices a peer that is gone, and returns bytes. `blocking` as in `build_client`. End it
    with `close`.
    """
    pool = client.connection_pool
    arguments = _connecting(pool) | {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _bounded(pool.connection_kwargs.get("socket_timeout")),
        "socket_connect_timeout": _bounded(pool.connection_kwargs.get("socket_connect_timeout")),
        "maint_notifications_config": _NO_NOTICES,
        "max_connections": max(pool.max_connections, FEWEST_CONNECTIONS),
    }
    if blocking:
        arguments["health_check_interval"] = 0
    if issubclass(pool.connection_class, Connection):  # over TCP
        arguments["socket_keepalive"] = True
        given = arguments.get("socket_keepalive_options")
        arguments["socket_keepalive_options"] = given if given and isinstance(given, Mapping) else _keepalive()
    if isinstance(pool, SentinelConnectionPool):
        manager = pool.sentinel_manager
        clients = [_sentinel_client(**_connecting(theirs.connection_pool)) for theirs in manager.sentinels]
        arguments["sentinels"] = Sentinels(clients, pool.service_name, host=forced_host_of(manager))
        arguments["connection_class"] = _follower_of(pool.connection_class)
    return _client_of(ConnectionPool(**arguments))


def _connecting(pool: ConnectionPool) -> dict[str, Any]:
    """Return how a pool's connections are made, without what is the pool's own."""
    made = {name: value for name, value in pool.connection_kwargs.items() if name not in _NOT_OURS}
    return made | {"connection_class": pool.connection_class}


def close(client: Redis) -> None:
    """Close the connections of a client that `clone` has made."""
    client.close()
    sentinels = client.connection_pool.connection_kwargs.get("sentinels")
    if sentinels is not None and sentinels not in _sentinels.values():
        sentinels.close()


def _client_of(pool: ConnectionPool) -> Redis:
    _pools.add(pool)
    return Redis.from_pool(pool)


def _leave_connections_to_parent() -> None:
    for pool in [*_pools]:
        leave_to_parent(pool)


#: The pools of this process. Processes that job code forks must not hold, let alone use, their connections.
_pools: Final[WeakSet[ConnectionPool]] = WeakSet()
os.register_at_fork(after_in_child=_leave_connections_to_parent)


def abandon_connections() -> None:
    """Let every client connect anew when it is used next: the descriptors of its connections were closed by others."""
    for pool in [*_pools]:
        abandon(pool)


def _bounded(seconds: float | None) -> float:
    return min(seconds, LONGEST_TIMEOUT_SECONDS) if seconds else TIMEOUT_SECONDS


def _keepalive() -> dict[int, int]:
    return {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}


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
