"""The edge to Redis: here errors of redis-py and of sockets become `RedisTrouble`, so that loops catch only that.

Three kinds pass as they are. NOSCRIPT and a failed WATCH are answers that a caller acts on, not trouble. An answer that
`translate` has no name for is a bug of ours: it must end the process with a traceback, not look like an outage.
RQ's own code and jobs get plain clients (``queue.py``), because they catch redis-py's errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import LockError, NoScriptError, RedisError, WatchError

from worker.redis.translate import translate

_PASS = (NoScriptError, WatchError, LockError)


@contextmanager
def translating() -> Iterator[None]:
    """Raise `RedisTrouble` for what redis-py or a socket raises in the block."""
    try:
        yield
    except _PASS:
        raise
    except (RedisError, OSError) as error:
        _raise(error)


class Client(Redis):
    """redis-py's client, with errors translated."""

    #: The client whose connections these are: redis-py closes them when nobody holds it any more.
    _owner: Redis | None = None

    @classmethod
    def over(cls, client: Redis) -> Self:
        """Return a client on the connections of another one."""
        if isinstance(client, cls):
            return client
        made = cls(connection_pool=client.connection_pool)
        made._owner = client
        return made

    def close(self) -> None:
        """Close the connections."""
        if self._owner is None:
            super().close()
        else:
            self._owner.close()

    def __del__(self) -> None:
        if self._owner is None:  # the owner closes its connections itself
            super().__del__()  # type: ignore[no-untyped-call]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its reply; raises `RedisTrouble`."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except _PASS:
            raise
        except (RedisError, OSError) as error:
            _raise(error)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return a pipeline whose `execute` raises `RedisTrouble`."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with translating():
            return super().execute(raise_on_error)

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        with translating():
            return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]


def raise_translated(error: Exception) -> None:
    """Raise what a reply holds instead of an answer: as `RedisTrouble` if it is trouble."""
    with translating():
        raise error


def _raise(error: Exception) -> Any:
    """Raise an error under our own name, if it has one. Call it where the error is handled."""
    trouble = translate(error)
    if trouble is None:
        raise error
    raise trouble from error
