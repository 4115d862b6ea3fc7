"""A local HTTP server for tests: what all stand-ins for somebody's API have in common."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class QuietHandler(BaseHTTPRequestHandler):
    """Prints nothing."""

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  #: of the default, 5, the kernel lets clients that come together wait a second and more


class HttpStub:
    """Serves `handler` on a free port of `address` inside a ``with`` block. Clients may hang up on it."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], address: str = "127.0.0.1") -> None:
        self._server = _Server((address, 0), handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  clients here hang up on purpose
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
