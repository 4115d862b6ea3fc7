"""The edge to Redis: the only place that makes clients and decides what their errors mean.

Clients never retry by themselves: a Lua script that moves a job must not run twice because a reply was lost. The loops
retry, knowing what they hold, and `Outage` keeps the score: one event when trouble begins, at most one a minute while
it lasts, one when it ends.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.timeouts import JobTimeoutException

from worker import backoff, errors, logs, sentry
from worker.errors import Policy, RedisTrouble, translate
from worker.scoreboard import RedisState
from worker.settings import Settings, load

log = logs.get_logger()

#: How long connecting, and reading one answer, may take.
TIMEOUT_SECONDS: Final = 5.0
#: A connection that was silent for so long is asked with a PING before it is used again.
HEALTH_CHECK_SECONDS: Final = 30
#: With these a peer that is gone without a word is noticed within 5 + 3 × 3 = 14 s, idle or not.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 14_000}
#: The longest wait between two tries.
CAP_SECONDS: Final = 10.0
BASE_SECONDS: Final = 0.1
#: While trouble lasts it is logged again this often.
REMIND_SECONDS: Final = 60.0


def build_client(settings: Settings, *, client_name: str, blocking: bool = False, max_connections: int = 5) -> Redis:
    """Make a client; it connects when it is first used.

    `blocking`: its connections wait in blocking commands, so no PING may come between. Raises `RedisTrouble` (bad_url).
    """
    if settings.redis_url is None:
        raise errors.trouble("bad_url")
    url = settings.redis_url.get_secret_value()
    options: dict[str, Any] = {
        "client_name": client_name,
        "max_connections": max_connections,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        "health_check_interval": 0 if blocking else HEALTH_CHECK_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,  # no slower than RESP2 with hiredis: 77 against 78 µs a job, 24 interleaved rounds
    }
    if urlsplit(url).scheme != "unix":
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = {
            getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
        }
    try:
        return Redis.from_url(url, **options)
    except ValueError as error:
        raise errors.trouble("bad_url") from error


def clone(client: Redis) -> Redis:
    """Make a client like `client` for blocking commands, with connections of its own."""
    pool = client.connection_pool
    kwargs = {**pool.connection_kwargs, "health_check_interval": 0}
    return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **kwargs))


def connect_with_retry(
    settings: Settings,
    *,
    client_name: str,
    deadline: float | None = None,
    on_trouble: Callable[[RedisTrouble, float], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Redis:
    """Connect and PING, trying until it works, `deadline` (monotonic) passes or `stop()` says so.

    Each try resolves the host name anew. `on_trouble` gets the reason and the seconds until the next try. Raises
    `RedisTrouble` with the last reason.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            client = build_client(settings, client_name=client_name)
            _resolve(client)
            client.ping()
        except (RedisError, OSError, RedisTrouble) as error:
            reason = translate(error)
            if reason is None:
                raise
        else:
            return client
        delay = _delay(attempt, reason)
        left = float("inf") if deadline is None else deadline - monotonic()
        if reason.code == "bad_url" or stop() or left <= 0:
            raise reason
        delay = min(delay, left)
        if on_trouble is not None:
            on_trouble(reason, delay)
        sleep(delay)


class Outage:
    """Whether Redis is away, for one loop.

    `on_edge` gets the new state and the reason's code whenever it changes, the first success included.
    """

    def __init__(self, on_edge: Callable[[RedisState, str], None]) -> None:
        self._on_edge = on_edge
        self._since: float | None = None
        self._connected = False
        self._attempts = 0
        self._reminded_at = 0.0
        self._reason: RedisTrouble | None = None
        self._reported = False

    @property
    def active(self) -> bool:
        """Whether the last word was trouble."""
        return self._since is not None

    def note(self, error: BaseException) -> None:
        """Take in a failed call; an error that is not trouble with Redis is raised again."""
        reason = translate(error)
        if reason is None:
            raise error
        now = monotonic()
        self._attempts += 1
        changed = self._reason is None or self._reason.code != reason.code
        self._reason = reason
        fields = {"code": reason.code, "sentence": reason.trouble.sentence, "fix": reason.trouble.fix}
        if self._since is None:
            self._since = self._reminded_at = now
            log.warning("redis.outage_started", **fields, detail=reason.detail or None)
            self._on_edge(RedisState.OUTAGE, reason.code)
            return
        if changed:
            self._on_edge(RedisState.OUTAGE, reason.code)
        if now - self._reminded_at >= REMIND_SECONDS:
            self._reminded_at = now
            seconds = now - self._since
            log.warning("redis.outage_continues", **fields, seconds=round(seconds), attempts=self._attempts)
            if not self._reported:
                self._reported = True
                sentry.redis_outage(reason.code, reason.trouble.sentence, seconds)

    def delay(self) -> float:
        """Return how long to wait before the next try: the first at once, then full jitter up to the cap."""
        return 0.0 if self._reason is None else _delay(self._attempts, self._reason)

    def over(self) -> None:
        """Take in a call that succeeded."""
        if self._since is None and self._connected:
            return
        if self._since is not None:
            seconds = round(monotonic() - self._since, 1)
            log.info("redis.outage_ended", seconds=seconds, attempts=self._attempts)
        self._since, self._reason, self._attempts, self._reported = None, None, 0, False
        self._connected = True
        self._on_edge(RedisState.CONNECTED, "")


def settings_of_environment() -> Settings:
    """Read the settings of a consumer that is started by RQ's own command line, which brings its own connection."""
    return load(os.environ, need_redis_url=False)


def timed_out(seconds: int | None) -> JobTimeoutException:
    """Say what happened to a job that swallowed its timeout, or sat in native code past it."""
    return JobTimeoutException(
        f"The job ran past its timeout of {seconds} seconds and did not react to it, so its process was killed"
    )


def _delay(attempt: int, reason: RedisTrouble) -> float:
    if attempt <= 1 and reason.trouble.policy is not Policy.RETRY_SLOWLY:
        return 0.0
    base = CAP_SECONDS / 2 if reason.trouble.policy is Policy.RETRY_SLOWLY else BASE_SECONDS
    return backoff.full_jitter(attempt, base=base, cap=CAP_SECONDS)


def _resolve(client: Redis) -> None:
    """Resolve the host by itself, so that a name that does not exist is named as such and not as a slow connection."""
    kwargs = client.connection_pool.connection_kwargs
    host = kwargs.get("host")
    if host:
        socket.getaddrinfo(host, kwargs.get("port"), type=socket.SOCK_STREAM)
