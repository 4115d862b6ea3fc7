"""A local server that speaks the part of Render's API that we use, and misbehaves when told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.http_stub import HttpStub, QuietHandler

KEY = "rnd_a_key_for_tests"
SERVICE_ID = "srv-d0abc1234567890abcde"
NAME = "worthit-worker"


class Render(HttpStub):
    """One account with one service, of which `running` instances run (None: as many as it is scaled to).

    `faults` are answered first, one a request: a status, (status, headers), or "drop" for a connection that is closed
    without an answer. `on_scale` hears each accepted number. `calls` keeps (method, path, body).
    """

    def __init__(
        self,
        instances: int = 1,
        on_scale: Callable[[int], None] = lambda _: None,
        *,
        key: str = KEY,
        kind: str = "background_worker",
        plan: str = "starter",
        suspended: bool = False,
        running: int | None = None,
    ) -> None:
        self.instances = instances
        self._key, self._kind, self._plan, self._running = key, kind, plan, running
        self.faults: list[Any] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.suspended = suspended
        self.autoscaled = False
        self._on_scale = on_scale
        stub = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub._answer(self)

            def do_POST(self) -> None:
                stub._answer(self)

        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def environ(self) -> dict[str, str]:
        """What an instance on Render has in its environment, and the key."""
        return {"RENDER_API_URL": self.url, "RENDER_API_KEY": self._key, "RENDER_SERVICE_ID": SERVICE_ID}

    @property
    def scaled_to(self) -> list[int]:
        """The numbers that were asked for, refused ones included."""
        return [body["numInstances"] for method, _, body in self.calls if method == "POST"]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        body = json.loads(handler.rfile.read(length)) if length else None
        address = urlsplit(handler.path)
        self.calls.append((handler.command, address.path, body))
        fault = self.faults.pop(0) if self.faults else None
        if fault == "drop":
            handler.close_connection = True
            return
        if fault is not None:
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            self._send(handler, status, {"id": "", "message": "as the test said"}, **headers)
        elif handler.headers.get("Authorization") != f"Bearer {self._key}":
            self._send(handler, 401, {"id": "", "message": "Unauthorized"})
        elif address.path == "/v1/services" and handler.command == "GET":
            named = parse_qs(address.query).get("name") in ([NAME], None)
            self._send(handler, 200, [{"cursor": "c", "service": self._service()}] if named else [])
        elif address.path == f"/v1/services/{SERVICE_ID}" and handler.command == "GET":
            self._send(handler, 200, self._service())
        elif address.path == f"/v1/services/{SERVICE_ID}/instances" and handler.command == "GET":
            running = self.instances if self._running is None else self._running
            self._send(handler, 200, [{"id": f"{SERVICE_ID}-{number}"} for number in range(running)])
        elif address.path == f"/v1/services/{SERVICE_ID}/scale" and handler.command == "POST":
            self._scale(handler, body)
        else:
            self._send(handler, 404, {"id": "", "message": "not found: service"})

    def _scale(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        wanted = body.get("numInstances") if isinstance(body, dict) else None
        if not isinstance(wanted, int) or not 1 <= wanted <= 100:
            self._send(handler, 400, {"id": "", "message": "invalid numInstances"})
            return
        self.instances = wanted
        self._on_scale(wanted)
        self._send(handler, 202, None)

    def _service(self) -> dict[str, Any]:
        return {
            "id": SERVICE_ID,
            "name": NAME,
            "type": self._kind,
            "suspended": "suspended" if self.suspended else "not_suspended",
            "serviceDetails": {
                "numInstances": self.instances,
                "plan": self._plan,
                "autoscaling": {"enabled": True, "min": 1, "max": 3} if self.autoscaled else None,
            },
        }

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
