"""One deadline over everything that a request does on the network: connecting, TLS, each write and each read.

HTTP clients bound each of these by itself, so an answer that drips in byte by byte outlasts any timeout. Only the
system's resolver keeps time by itself (see resolv.conf(5)).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from time import monotonic
from typing import Any

import httpcore

#: Monotonic time at which the request that this thread makes is given up.
deadline: ContextVar[float] = ContextVar("producer.deadline")


class DeadlineBackend(httpcore.NetworkBackend):
    """The network, as far as `deadline` allows."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline rules
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the deadline."""
        return _Stream(self._sockets.connect_tcp(host, port, _left(), local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left())

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left()))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left() -> float:
    left = deadline.get() - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
