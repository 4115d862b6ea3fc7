"""Upstash's REST API in front of a real server, as its documents describe it, with faults (`rest_faults`) on demand.

Served: ``POST /`` with one command as a JSON array, commands in the path (a body is the last argument, the query
string follows it), ``/pipeline``, ``/multi-exec``, the header ``Upstash-Encoding: base64``, a bearer token or
``?_token=``. Refused with 400: what Upstash does not offer over REST (blocking reads, WATCH, subscriptions, most
connection commands). Source: upstash.com/docs/redis/features/restapi. A script's flag ``allow-key-locking``, which only
Upstash knows, is taken out before the server sees it.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import hiredis

from tests.support.http_stub import HttpStub, QuietHandler

#: The token of every stub.
TOKEN = "stub-token-correct-horse"
#: Upstash's limit for a request on its free and pay-as-you-go plans (upstash.com/docs/redis/troubleshooting).
MAX_REQUEST_BYTES = 10 * 1024 * 1024
_READ_SECONDS = 60.0

_NOT_OVER_REST = frozenset(
    {
        *("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"),
        *("WATCH", "UNWATCH", "DISCARD", "MULTI", "EXEC", "SUBSCRIBE", "PSUBSCRIBE", "MONITOR"),
        *("AUTH", "HELLO", "CLIENT", "SELECT", "QUIT", "RESET"),
    }
)

#: What a fault does: gets the handler, and the call that runs the request and answers it.
Fault = Callable[[BaseHTTPRequestHandler, Callable[[], None]], None]


class RefusedError(Exception):
    """The request cannot be run; the message is what the client gets."""


class _ErrorReply(str):
    """An error reply of the server, as it stands on the wire."""

    __slots__ = ()


class RestStub(HttpStub):
    """Serves the database on `port` of this host at `url`, with the token `TOKEN`.

    `requests` counts HTTP requests; `commands` those that were sent through, by name. `faults` holds one fault for each
    coming request, None for none; `fault` applies to all that come after them.
    """

    def __init__(self, port: int) -> None:
        stub = self
        self.redis_port = port
        self.requests = 0
        self.commands: Counter[str] = Counter()
        self.faults: deque[Fault | None] = deque()
        self.fault: Fault | None = None
        self._lock = threading.Lock()

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer in two writes would wait 40 ms for the client's ACK

            def do_GET(self) -> None:
                stub._handle(self)

            do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

            def do_DELETE(self) -> None:
                answer(self, 405, {"error": "ERR method not allowed"})

        super().__init__(Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self._lock:
            self.requests += 1
            fault = self.faults.popleft() if self.faults else self.fault
        if fault is None:
            self._run(handler, body)
        else:
            fault(handler, lambda: self._run(handler, body))

    def _run(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        url = urlsplit(handler.path)
        query = parse_qsl(url.query, keep_blank_values=True)
        token = (handler.headers.get("authorization") or "").removeprefix("Bearer ")
        token = token or dict(query).get("_token", "")
        if not hmac.compare_digest(token.encode(), TOKEN.encode()):
            answer(handler, 401, {"error": "WRONGPASS invalid or missing auth token"})
            return
        if len(body) > MAX_REQUEST_BYTES:
            answer(handler, 400, {"error": f"ERR max request size exceeded. Limit: {MAX_REQUEST_BYTES} bytes"})
            return
        encoded = (handler.headers.get("upstash-encoding") or "").lower() == "base64"
        try:
            if url.path in ("/pipeline", "/multi-exec"):
                replies = self._execute(_rows(body), atomic=url.path == "/multi-exec")
                answer(handler, 200, [_entry(reply, encoded) for reply in replies])
                return
            command = _command(_json(body)) if url.path == "/" else _path_command(url.path, query, body)
            (reply,) = self._execute([command], atomic=False)
        except RefusedError as error:
            answer(handler, 400, {"error": str(error)})
            return
        answer(handler, 400 if isinstance(reply, _ErrorReply) else 200, _entry(reply, encoded))

    def _execute(self, commands: list[list[bytes]], *, atomic: bool) -> list[Any]:
        for command in commands:
            _check(command)
        rows = [_without_flag(command) for command in commands]
        sent = [[b"MULTI"], *rows, [b"EXEC"]] if atomic else rows
        with self._lock:
            self.commands.update(command[0].decode().upper() for command in rows)
        replies = _talk(self.redis_port, sent)
        if not atomic:
            return replies
        outcome = replies[-1]
        if isinstance(outcome, _ErrorReply):
            raise RefusedError(next((str(reply) for reply in replies if isinstance(reply, _ErrorReply)), str(outcome)))
        return list(outcome)


def answer(handler: BaseHTTPRequestHandler, code: int, content: Any, content_type: str = "application/json") -> None:
    """Answer with `content`: text as it is, anything else as JSON."""
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    handler.send_response(code)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _talk(port: int, commands: list[list[bytes]]) -> list[Any]:
    """Send commands on a new connection; returns the replies, errors as `_ErrorReply`."""
    reader = hiredis.Reader(replyError=_ErrorReply)
    with socket.create_connection(("127.0.0.1", port), _READ_SECONDS) as connection:
        connection.sendall(b"".join(hiredis.pack_command(tuple(command)) for command in commands))
        replies = []
        while len(replies) < len(commands):
            reply = reader.gets()
            if reply is False:
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("the server hung up")
                reader.feed(data)
                continue
            replies.append(reply)
    return replies


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise RefusedError("ERR failed to parse command") from None


def _rows(body: bytes) -> list[list[bytes]]:
    rows = _json(body)
    if not isinstance(rows, list) or not rows:
        raise RefusedError("ERR failed to parse pipeline request")
    return [_command(row) for row in rows]


def _command(row: Any) -> list[bytes]:
    if not isinstance(row, list) or not row or not all(isinstance(part, str | int | float) for part in row):
        raise RefusedError("ERR failed to parse command")
    return [(json.dumps(part) if not isinstance(part, str) else part).encode() for part in row]


def _path_command(path: str, query: list[tuple[str, str]], body: bytes) -> list[bytes]:
    command = [unquote_to_bytes(part) for part in path.strip("/").split("/")]
    if body:
        command.append(body)
    for name, value in query:
        if name != "_token":
            command += [part.encode() for part in (name, value) if part]
    return command


def _check(command: list[bytes]) -> None:
    name = command[0].decode(errors="replace").upper()
    blocks = name in ("XREAD", "XREADGROUP") and any(part.upper() == b"BLOCK" for part in command)
    if name in _NOT_OVER_REST or blocks:
        raise RefusedError(f"ERR Command is not available: '{name}'")


def _without_flag(command: list[bytes]) -> list[bytes]:
    if command[0].upper() == b"EVAL" and len(command) > 1:
        return [command[0], re.sub(rb"\A#!lua flags=allow-key-locking\n", b"", command[1]), *command[2:]]
    return command


def _entry(reply: Any, encoded: bool) -> dict[str, Any]:
    if isinstance(reply, _ErrorReply):
        return {"error": str(reply)}
    return {"result": _value(reply, encoded)}


def _value(reply: Any, encoded: bool) -> Any:
    if isinstance(reply, list):
        return [_value(item, encoded) for item in reply]
    if isinstance(reply, bytes):
        if encoded and reply != b"OK":
            return base64.b64encode(reply).decode()
        return reply.decode(errors="replace")
    return str(reply) if isinstance(reply, _ErrorReply) else reply
