"""A TCP proxy in front of a server that loses connections where a test wants it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Literal, Self


class Proxy:
    """Relays 127.0.0.1:`port` to the server's port.

    `lose(marker, "before")` cuts the next connection on which the client sends `marker`, before the server sees
    it; "after" lets the server act and cuts before the client sees the reply. `blackhole` relays nothing.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0  #: how often `lose` has come true
        self.blackhole = False
        self._lock = threading.Lock()
        self._plan: tuple[bytes, Literal["before", "after"]] | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()

    @property
    def url(self) -> str:
        """Return the URL of the server as seen through the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, marker: str, when: Literal["before", "after"]) -> None:
        """Plan one cut; replaces a plan that has not come true yet."""
        with self._lock:
            self._plan = (marker.encode(), when)

    def cut(self) -> int:
        """Cut every connection now; returns how many there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _close(*pair)
        return len(pairs)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(front,), daemon=True).start()

    def _relay(self, front: socket.socket) -> None:
        try:
            back = socket.create_connection(("127.0.0.1", self._upstream_port), timeout=5)
        except OSError:
            _close(front)
            return
        for end in (front, back):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (front, back)
        with self._lock:
            self._pairs.add(pair)
        with contextlib.suppress(OSError, ValueError):
            self._pump(front, back)
        with self._lock:
            self._pairs.discard(pair)
        _close(front, back)

    def _pump(self, front: socket.socket, back: socket.socket) -> None:
        deaf = False  # the server's next reply is not delivered
        while True:
            ready, _, _ = select.select([front, back], [], [], 0.5)
            if self.blackhole:
                continue
            if front in ready:
                data = front.recv(1 << 20)
                if not data:
                    return
                plan = self._comes_true(data)
                if plan == "before":
                    return
                deaf = deaf or plan == "after"
                back.sendall(data)
            if back in ready:
                data = back.recv(1 << 20)
                if not data or deaf:
                    return
                front.sendall(data)

    def _comes_true(self, data: bytes) -> str | None:
        with self._lock:
            if self._plan is None or self._plan[0] not in data:
                return None
            when = self._plan[1]
            self._plan = None
            self.lost += 1
            return when


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
