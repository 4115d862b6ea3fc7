"""A small HTTP server for probes: a few fixed paths, answered from memory.

A connection serves one request and lives at most `CONNECTION_SECONDS`, however slowly its client sends or reads; when
too many are open, the oldest idle one makes room, so that a crowd of slow clients never keeps a probe out.
"""

from __future__ import annotations

import hmac
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import WSGITask

from worker.errors import WorkerError
from worker.health.verdict import Verdict
from worker.text import json_text

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from pydantic import SecretStr

#: Threads that answer. An answer is computed in well under a millisecond and never waits.
THREADS: Final = 2
#: The longest life of a connection, from accept to close.
CONNECTION_SECONDS: Final = 5.0
#: Connections held at once.
MAX_CONNECTIONS: Final = 256
#: A probe has no body and few headers.
MAX_REQUEST_BYTES: Final = 8192
#: How often `stop` is called.
TURN_SECONDS: Final = 0.1


class HealthPortError(WorkerError):
    """The health endpoint cannot listen on HEALTH_HOST and HEALTH_PORT."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket, IPv4 or IPv6 by the look of `host`; port 0 takes a free one.

    Raises `HealthPortError` whose sentence names HEALTH_PORT or HEALTH_HOST and the way out.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise HealthPortError(
            f"The health endpoint cannot listen on HEALTH_PORT {port} of HEALTH_HOST {host}: "
            f"{(error.strerror or str(error)).lower()}. Set HEALTH_PORT to a free port (or to 0 to turn the "
            "endpoint off), or stop what uses it; HEALTH_HOST must be an address of this machine."
        ) from error


def serve(pages: Pages, listener: socket.socket, stop: Callable[[], bool]) -> None:
    """Answer HTTP on `listener` until `stop()`, called every `TURN_SECONDS`, is true; then close it."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue of two probes is not worth a warning
    channels: dict[int, Any] = {}
    server: Any = create_server(  # its declared type lacks what the map of channels needs
        pages,
        map=channels,
        sockets=[listener],
        threads=THREADS,
        connection_limit=2 * MAX_CONNECTIONS,
        max_request_header_size=MAX_REQUEST_BYTES,
        max_request_body_size=MAX_REQUEST_BYTES,
        log_socket_errors=False,
        ident=None,
    )
    server.channel_class = _Connection
    try:
        while not stop():
            wasyncore.loop(timeout=TURN_SECONDS, use_poll=True, map=channels, count=1)
            _shed(list(server.active_channels.values()))
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(channels)


class Pages:
    """The WSGI application: GET and HEAD of the paths of `questions`, and of /metrics.

    A question returns a verdict, and `facts` what every body shows besides it; `metrics` takes the request's
    ``Accept`` header, and whether names may be told, and returns the content type and the text. With a `token`, whoever
    does not send it as a bearer token gets verdicts alone; without one everybody gets all but names.
    """

    def __init__(
        self,
        questions: Mapping[str, Callable[[], Verdict]],
        facts: Callable[[], dict[str, object]],
        metrics: Callable[[str, bool], tuple[str, bytes]],
        token: SecretStr | None,
    ) -> None:
        self._questions = questions
        self._facts = facts
        self._metrics = metrics
        self._token = token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        known = self._knows_the_token(environ.get("HTTP_AUTHORIZATION", ""))
        if path not in self._questions and path != "/metrics":
            status = HTTPStatus.NOT_FOUND
            body = _json("not_found", f"Nothing is here. Try {', '.join(self._questions)} or /metrics.")
        elif method not in ("GET", "HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
            headers["Allow"] = "GET, HEAD"
            body = _json("method_not_allowed", "Only GET and HEAD are answered here.")
        elif path == "/metrics" and not known and self._token:
            status = HTTPStatus.UNAUTHORIZED
            headers["WWW-Authenticate"] = "Bearer"
            body = _json("unauthorized", "Send METRICS_TOKEN as a bearer token.")
        elif path == "/metrics":
            status = HTTPStatus.OK
            headers["Content-Type"], body = self._metrics(environ.get("HTTP_ACCEPT", ""), known)
        else:
            answer = self._questions[path]()
            status = HTTPStatus.OK if answer.passed else HTTPStatus.SERVICE_UNAVAILABLE
            body = _json(answer.status, answer.reason, **(self._facts() if known or not self._token else {}))
        headers["Content-Length"] = str(len(body))
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [] if method == "HEAD" else [body]

    def _knows_the_token(self, authorization: str) -> bool:
        if self._token is None:
            return False
        scheme, _, given = authorization.partition(" ")
        expected = self._token.get_secret_value().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), expected)


class _OneRequest(WSGITask):
    """Answer with ``Connection: close``, so that a connection's whole life can be limited."""

    def start(self) -> None:
        super().start()
        self.set_close_on_finish()


class _Connection(HTTPChannel):
    task_class = _OneRequest


def _shed(connections: list[Any]) -> None:
    """Close connections that are too old, and the oldest when there are too many; spare those being answered."""
    idle = sorted((c for c in connections if not c.requests), key=lambda connection: connection.creation_time)
    expired_before = time.time() - CONNECTION_SECONDS
    surplus = len(connections) - MAX_CONNECTIONS
    for position, connection in enumerate(idle):
        if position < surplus or connection.creation_time < expired_before:
            connection.handle_close()


def _json(status: str, reason: str, **facts: object) -> bytes:
    return json_text({"status": status, "reason": reason, **facts}).encode() + b"\n"
