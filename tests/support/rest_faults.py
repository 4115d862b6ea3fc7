"""What can go wrong between a producer and Upstash's REST API, for `RestStub.faults`."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.rest_stub import Fault, answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def drop_answer(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
    """Execute the request and hang up before the answer."""
    wfile, handler.wfile = handler.wfile, _Nowhere()  # type: ignore[assignment]
    try:
        run()
    finally:
        handler.wfile = wfile
    hang_up(handler)


def refuse(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
    """Hang up without executing anything."""
    hang_up(handler)


def delayed(seconds: float) -> Fault:
    """Execute the request at once and answer `seconds` later."""

    def fault(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        wfile = handler.wfile
        handler.wfile = late = _Nowhere()  # type: ignore[assignment]
        run()
        handler.wfile = wfile
        time.sleep(seconds)
        wfile.write(b"".join(late.written))

    return fault


def dripping(seconds: float) -> Fault:
    """Send the beginning of an answer, and then a byte of it each `seconds`."""

    def fault(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(seconds)

    return fault


def answering(code: int, content: Any, content_type: str = "application/json") -> Fault:
    """Execute nothing and answer this."""

    def fault(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        answer(handler, code, content, content_type)

    return fault


#: What a gateway in front of the API shows when there is nothing behind it.
BAD_GATEWAY = answering(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
THROTTLED = answering(429, {"error": "ERR too many requests"})
BROKEN = answering(500, {"error": "ERR internal error"})


class _Nowhere:
    """Takes what would be sent."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.written.append(data)
        return len(data)

    def flush(self) -> None:
        pass
