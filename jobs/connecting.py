"""Connect to public addresses only, and within a deadline.

A host name is resolved once, every address is checked (`jobs.addresses`), and the connection goes to exactly
an address that was checked: a name that changes its answer meanwhile (DNS rebinding) gains nothing. The
layers above still see the name, so TLS verifies it and the Host header carries it.

One deadline covers connecting, TLS, a header sent byte by byte and the body. Only the system's resolver keeps
time by itself (5 seconds a try, see resolv.conf(5)).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

import httpcore

from jobs.addresses import refusal
from worker import context
from worker.retry import PermanentError

#: Seconds for one address to accept the connection, so that the next one gets its chance.
CONNECT_SECONDS = 5.0

#: Turns a host name and a port into IP addresses, best first; raises OSError.
Resolver = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for `host`, best first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class GuardedBackend(httpcore.NetworkBackend):
    """The network as jobs may use it, for `seconds`; raises httpcore's errors and `PermanentError`."""

    def __init__(self, seconds: float, resolver: Resolver = resolve) -> None:
        self._deadline = monotonic() + seconds
        self._resolver = resolver
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline rules
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers."""
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._checked_addresses(host, port):
            seconds = min(CONNECT_SECONDS, _seconds_left(self._deadline))
            try:
                stream = self._sockets.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure

    def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolve `host`. One forbidden address condemns all: nobody mixes them by accident."""
        try:
            addresses = self._resolver(host, port)
        except (
            OSError,
            UnicodeError,
        ) as error:  # UnicodeError: a label is empty or longer than 63 characters
            raise httpcore.ConnectError(f"{host} does not resolve") from error
        allow_private = context.current().allow_private_addresses
        for address in addresses:
            if kind := refusal(address, allow_private=allow_private):
                raise PermanentError(
                    f"{host} is refused because it leads to {kind}; give the URL of a public site "
                    "(in development, WORKER_ALLOW_PRIVATE_ADDRESSES=true admits loopback and private ones)"
                )
        return addresses


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which every wait is cut to what the deadline leaves."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _seconds_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _seconds_left(self._deadline))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _seconds_left(self._deadline))
        return _DeadlineStream(secured, self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _seconds_left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time limit passed")
    return left
