"""A stand-in for Upstash's REST API: POST / with a command, a bearer token, JSON answers; errors as documented."""

from __future__ import annotations

import http.server
import json
import threading
from types import TracebackType
from typing import Self


class RestApi:
    """Answers PING with the right `token`; `error` instead of every answer, `page` instead of JSON."""

    def __init__(self, token: str = "rest-token-hunter2", *, error: str = "", page: bool = False) -> None:
        self.token = token
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if page:
                    self._answer(502, b"<html>Bad gateway</html>")
                elif self.headers.get("Authorization") != f"Bearer {api.token}":
                    self._answer(401, b'{"error":"WRONGPASS invalid or missing auth token"}')
                elif error:
                    self._answer(400, json.dumps({"error": error}).encode())
                else:
                    self._answer(200, json.dumps({"result": "PONG" if command == ["PING"] else None}).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environ(self) -> dict[str, str]:
        """The two variables that Upstash's console shows."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"UPSTASH_REDIS_REST_URL": url, "UPSTASH_REDIS_REST_TOKEN": self.token}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
