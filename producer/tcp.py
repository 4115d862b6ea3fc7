"""Redis over TCP, with redis-py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import Misconfigured, Refused
from .sentinel import is_sentinel, primary_of
from .transport import Command, Passing, Transport, raise_for

if TYPE_CHECKING:
    from redis import Redis


class TcpTransport(Transport):
    """One database behind a Redis `url`; thread-safe.

    One try may take `try_seconds` to connect and as long again to read, so none is begun that could outlast the
    deadline, but for the first. Raises `Misconfigured`.
    """

    try_seconds = 2.0
    least_seconds = 4.0

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis  # noqa: PLC0415 — REST producers do not need it
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        except ImportError:
            raise Misconfigured(
                "REDIS_URL is set, and over TCP the package redis is needed: pip install redis"
            ) from None
        try:
            self._redis: Redis = (primary_of if is_sentinel(url) else Redis.from_url)(
                url,
                socket_timeout=self.try_seconds,
                socket_connect_timeout=self.try_seconds,
                retry=Retry(NoBackoff(), 0),  # `call` decides what is tried again
                protocol=2,
            )
        except ValueError:
            raise Misconfigured(
                "REDIS_URL is not a URL that redis-py reads, such as rediss://default:PASSWORD@host:6379, nor one of "
                "Sentinels, such as redis+sentinel://one:26379,two:26379/mymaster"
            ) from None
        self._owned = True

    @classmethod
    def over(cls, connection: Redis) -> TcpTransport:
        """Use a client that is there already; it must not decode responses, and is never closed."""
        transport = cls.__new__(cls)
        transport._redis, transport._owned = connection, False
        return transport

    def __repr__(self) -> str:
        return "TcpTransport(…)"

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._redis.close()

    def _once(self, commands: Sequence[Command], seconds: float) -> list[Any]:  # noqa: ARG002  the sockets' own bound rules
        from redis.exceptions import (  # noqa: PLC0415
            AuthenticationError,
            ConnectionError,  # noqa: A004
            RedisError,
            ResponseError,
            TimeoutError,  # noqa: A004
        )

        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                answers = pipeline.execute(raise_on_error=False)
        except AuthenticationError:
            raise Refused("Redis refuses the user name or password in REDIS_URL.") from None
        except TimeoutError:
            raise Passing("Redis did not answer in time.") from None
        except (ConnectionError, OSError):
            raise Passing("Redis cannot be reached, or the connection broke.") from None
        except RedisError as error:
            raise Refused(f"Redis cannot be used: {type(error).__name__}.") from None
        for answer in answers:
            if isinstance(answer, ResponseError | ConnectionError):
                raise_for(str(answer))
        return [_text(answer) for answer in answers]


def _text(answer: Any) -> Any:
    """Bring an answer into the form that REST gives it."""
    if isinstance(answer, bytes):
        return answer.decode(errors="replace")
    if isinstance(answer, list | tuple):
        return [_text(item) for item in answer]
    if isinstance(answer, dict):  # redis-py makes one of a stream entry's fields
        return [_text(item) for pair in answer.items() for item in pair]
    return answer
