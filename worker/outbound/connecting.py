"""Connect to public addresses only, and within a deadline.

A host name is resolved once, every address is checked (`worker.outbound.addresses`), and the connection goes to exactly
an address that was checked: a name that changes its answer meanwhile (DNS rebinding) gains nothing. The
layers above still see the name, so TLS verifies it and the Host header carries it.

One deadline covers resolving, connecting, TLS, a header sent byte by byte and the body.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import httpcore

from worker.outbound.addresses import refusal

#: Seconds for one address to accept the connection, so that the next one gets its chance.
CONNECT_SECONDS = 5.0

#: Turns a host name and a port into IP addresses, best first; raises OSError.
Resolver = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for `host`, best first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Unreached(httpcore.ConnectError):
    """No connection was made. Why is for whoever runs the service: it would tell strangers what is behind a name."""


class GuardedBackend(httpcore.NetworkBackend):
    """The network as strangers may use it, for `seconds`; raises httpcore's errors. `allow_private`: see `refusal`."""

    def __init__(self, seconds: float, resolver: Resolver = resolve, *, allow_private: bool = False) -> None:
        self._deadline = monotonic() + seconds
        self._resolver = resolver
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the deadline rules
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers; raises `Unreached`, or a time-out at the deadline."""
        reason = "it has no address"
        for address in self._checked_addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, min(CONNECT_SECONDS, _seconds_left(self._deadline)), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                reason = str(error) or type(error).__name__
            else:
                return _DeadlineStream(stream, self._deadline)
        _seconds_left(self._deadline)
        raise Unreached(reason)

    def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolve `host`. One forbidden address condemns all: nobody mixes them by accident."""
        addresses = self._resolved(host, port)
        for address in addresses:
            if kind := refusal(address, allow_private=self._allow_private):
                raise Unreached(
                    f"it leads to {kind} and is refused (in development, WORKER_ALLOW_PRIVATE_ADDRESSES=true admits "
                    f"loopback and private ones)"
                )
        return addresses

    def _resolved(self, host: str, port: int) -> Sequence[str]:
        """Ask the resolver, which keeps time by itself (5 seconds a try, resolv.conf(5)) and cannot be interrupted."""
        answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolver(host, port))
            except Exception as error:  # noqa: BLE001 — it is raised where it is waited for
                answers.put(error)

        threading.Thread(target=ask, name="resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=_seconds_left(self._deadline))
        except Empty:
            raise Unreached("its name was not resolved in time") from None
        if isinstance(answer, (OSError, UnicodeError)):  # UnicodeError: a label is empty or longer than 63 characters
            raise Unreached("it does not resolve") from answer
        if isinstance(answer, Exception):
            raise answer
        return answer


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
