"""A web server of our own that answers as each test says: a shop's pages, or a receiver of callbacks."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from tests.support.http_stub import HttpStub, QuietHandler

#: Answers one request, by the means of `BaseHTTPRequestHandler`.
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Request:
    """What the server received."""

    method: str
    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes


class Shop(HttpStub):
    """Serves `routes` (path → answer) on 127.0.0.1; `requests` keeps what came in."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        shop = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                shop.requests.append(Request(self.command, self.path, headers, body))
                self.close_connection = True
                shop.routes.get(self.path.partition("?")[0], status(404))(self)

            def do_POST(self) -> None:
                self.do_GET()

        self.routes: dict[str, Answer] = {}
        self.requests: list[Request] = []
        super().__init__(Handler, address)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"


def status(code: int, **headers: str) -> Answer:
    """Answer `code` with no body; in header names, ``_`` stands for ``-``."""
    return page(b"", code, **headers)


def page(body: bytes | str, code: int = 200, **headers: str) -> Answer:
    """Answer with `body`, as HTML unless `headers` say otherwise; in their names, ``_`` stands for ``-``."""
    content = body.encode() if isinstance(body, str) else body
    sent = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(content))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in sent.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer
