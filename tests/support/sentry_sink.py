"""An HTTP server that takes Sentry envelopes and decodes them."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.support.http_stub import HttpStub, QuietHandler


class SentrySink(HttpStub):
    """Collects every envelope item that a real sentry-sdk sends to `dsn`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.transactions: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        sink = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink.bodies.append(body)
                sink.events += _items(body, "event")
                sink.transactions += _items(body, "transaction")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

        super().__init__(Handler)

    @property
    def dsn(self) -> str:
        """What SENTRY_DSN must be."""
        return f"http://public@127.0.0.1:{self.port}/1"


def _items(body: bytes, kind: str) -> list[dict[str, Any]]:
    """Read the items of a kind in an envelope: a header line, then for each item a header line and a payload."""
    _, _, rest = body.partition(b"\n")
    found = []
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        header = json.loads(line)
        length = header.get("length")
        payload, rest = (rest[:length], rest[length:].lstrip(b"\n")) if length else rest.split(b"\n", 1)
        if header["type"] == kind:
            found.append(json.loads(payload))
    return found
