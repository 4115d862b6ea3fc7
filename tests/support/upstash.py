"""A stand-in for Upstash's REST API: POST / with a command, POST /pipeline with some; errors as documented."""

from __future__ import annotations

import json
from typing import Any

from tests.support.http_stub import HttpStub, QuietHandler


class RestApi(HttpStub):
    """Answers PING, SET, GET, DEL with the right `token`; `error` for every answer, `page` instead of JSON.

    `read_only` takes no writes, as Upstash's second token.
    """

    def __init__(
        self, token: str = "rest-token-hunter2", *, error: str = "", page: bool = False, read_only: bool = False
    ) -> None:
        self.token = token
        self.data: dict[str, str] = {}
        self._read_only = read_only
        api = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if page:
                    self._answer(502, b"<html>Bad gateway</html>")
                elif self.headers.get("Authorization") != f"Bearer {api.token}":
                    self._answer(401, b'{"error":"WRONGPASS invalid or missing auth token"}')
                elif error:
                    self._answer(400, json.dumps({"error": error}).encode())
                elif self.path == "/pipeline":
                    self._answer(200, json.dumps([api.run(each) for each in command]).encode())
                else:
                    self._answer(200, json.dumps(api.run(command)).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)

    def run(self, command: list[Any]) -> dict[str, Any]:
        """Run one command."""
        match command:
            case ["PING"]:
                return {"result": "PONG"}
            case ["GET", key]:
                return {"result": self.data.get(key)}
            case [_, *_] if self._read_only:
                return {"error": "NOPERM this user has no permissions to run the command"}
            case ["SET", key, value, "EX", int()]:
                self.data[key] = value
                return {"result": "OK"}
            case ["DEL", key]:
                return {"result": int(self.data.pop(key, None) is not None)}
        return {"error": f"ERR unknown command {command}"}

    @property
    def environ(self) -> dict[str, str]:
        """The two variables that Upstash's console shows."""
        url = f"http://127.0.0.1:{self.port}"
        return {"UPSTASH_REDIS_REST_URL": url, "UPSTASH_REDIS_REST_TOKEN": self.token}
