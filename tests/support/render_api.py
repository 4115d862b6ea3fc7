"""A stand-in for Render's API with the answers of its documents: services and their instances."""

from __future__ import annotations

import http.server
import json
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class RenderApi:
    """One service; the constructor says how it does."""

    def __init__(self, *, key: str = "rnd_hunter2", plan: str = "starter", suspended: bool = False, running: int = 1):
        self.key = key
        self.service: dict[str, Any] = {
            "id": "srv-abc",
            "name": "worthit-worker",
            "type": "web_service",
            "suspended": "suspended" if suspended else "not_suspended",
            "serviceDetails": {"plan": plan, "numInstances": 1},
        }
        instances = [{"id": f"srv-abc-{number}", "createdAt": "2026-01-01T00:00:00Z"} for number in range(running)]
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = parse_qs(parts.query).get("name")
                answers: dict[str, Any] = {
                    "/v1/services/srv-abc": api.service,
                    "/v1/services/srv-abc/instances": instances,
                    "/v1/services": [
                        {"cursor": "x", "service": api.service}
                        for _ in range(1)
                        if asked is None or api.service["name"] in asked
                    ],
                }
                if self.headers.get("Authorization") != f"Bearer {api.key}":
                    self._answer(401, {"message": "Unauthorized"})
                elif parts.path in answers:
                    self._answer(200, answers[parts.path])
                else:
                    self._answer(404, {"message": "not found: service"})

            def _answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environ(self) -> dict[str, str]:
        """What an instance on Render has in its environment, and the key."""
        url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return {"RENDER_API_URL": url, "RENDER_API_KEY": self.key, "RENDER_SERVICE_ID": "srv-abc"}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
