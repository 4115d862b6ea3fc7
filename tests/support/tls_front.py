"""A TLS server in front of a real Redis: it hands on what it decrypts, and shows whatever certificate a test wants."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

import trustme

from tests.support.server import free_port


class TlsFront:
    """Relays 127.0.0.1:`port` to the server. `certificate` may change at any time; `cut` makes clients see it."""

    def __init__(self, upstream_port: int, certificate: trustme.LeafCert) -> None:
        self.upstream_port = upstream_port
        self.certificate = certificate
        self.port = free_port()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()

    def cut(self) -> None:
        """Cut every connection, so that clients have to look at the certificate again."""
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _shut(end)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as front:
            with socket.create_connection(("127.0.0.1", self.upstream_port)) as back:
                with self._lock:
                    self._ends |= {front, back}
                _relay(front, back)
                with self._lock:
                    self._ends -= {front, back}


def _relay(front: ssl.SSLSocket, back: socket.socket) -> None:
    """Relay in one thread, because OpenSSL's connections do not stand two."""
    while True:
        ready, _, _ = ([front], [], []) if front.pending() else select.select([front, back], [], [])
        for source, target in ((front, back), (back, front)):
            if source in ready:
                data = source.recv(65536)
                if not data:
                    return
                target.sendall(data)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
