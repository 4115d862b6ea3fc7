"""A small HTTP server for probes: a few fixed paths, answered from memory; and beside them the console, if any.

A connection serves one request and lives at most `CONNECTION_SECONDS`, however slowly its client sends or reads; when
too many are open, the oldest idle one makes room, so that a crowd of slow clients never keeps a probe out. The console
asks Redis, which may take seconds: it has threads of its own (`_Lanes`), so that a probe never waits for a page.
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
from waitress.task import ThreadedTaskDispatcher, WSGITask

from worker.errors import WorkerError
from worker.health.verdict import Verdict
from worker.text import json_text

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from pydantic import SecretStr

#: Threads that answer probes. An answer is computed in well under a millisecond and never waits.
THREADS: Final = 2
#: Threads that answer for the console, each with a connection to Redis while it does.
CONSOLE_THREADS: Final = 4
#: The longest life of a connection, from accept to close.
CONNECTION_SECONDS: Final = 5.0
#: The same for one that asks for a page of the console: Redis may be slow.
PAGE_SECONDS: Final = 60.0
#: Connections held at once.
MAX_CONNECTIONS: Final = 256
#: A probe has no body and few headers.
MAX_REQUEST_BYTES: Final = 8192
#: A form of the console has one: arguments that were edited, at most.
MAX_FORM_BYTES: Final = 65_536
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
    lanes = _Lanes(pages)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue of two probes is not worth a warning
    channels: dict[int, Any] = {}
    server: Any = create_server(  # its declared type lacks what the map of channels needs
        pages,
        map=channels,
        _dispatcher=lanes,
        sockets=[listener],
        connection_limit=2 * MAX_CONNECTIONS,
        max_request_header_size=MAX_REQUEST_BYTES,
        max_request_body_size=MAX_FORM_BYTES if pages.console else MAX_REQUEST_BYTES,
        log_socket_errors=False,
        ident=None,
    )
    server.channel_class = _Connection
    try:
        while not stop():
            wasyncore.loop(timeout=TURN_SECONDS, use_poll=True, map=channels, count=1)
            _shed(list(server.active_channels.values()))
    finally:
        lanes.shutdown()
        wasyncore.close_all(channels)


class Pages:
    """The WSGI application: GET and HEAD of the paths of `questions`, and of /metrics. `console` answers all others.

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
        console: WSGIApplication | None = None,
    ) -> None:
        self.console = console
        self._questions = questions
        self._facts = facts
        self._metrics = metrics
        self._token = token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self.console is not None and not self.probes(environ["PATH_INFO"]):
            return self.console(environ, start_response)
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        known = self._knows_the_token(environ.get("HTTP_AUTHORIZATION", ""))
        if path == "/":
            status = HTTPStatus.FORBIDDEN
            headers["Content-Type"], body = _closed(environ.get("HTTP_ACCEPT", ""))
        elif not self.probes(path):
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

    def probes(self, path: str) -> bool:
        """Whether a path is a probe's or a scrape's, which are answered from memory."""
        return path in self._questions or path == "/metrics"

    def _knows_the_token(self, authorization: str) -> bool:
        if self._token is None:
            return False
        scheme, _, given = authorization.partition(" ")
        expected = self._token.get_secret_value().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), expected)


class _Lanes(ThreadedTaskDispatcher):
    """Gives pages threads of their own beside those of the probes, which are this one's."""

    def __init__(self, pages: Pages) -> None:
        super().__init__()
        self.set_thread_count(THREADS)
        self._pages = pages
        self._console = ThreadedTaskDispatcher() if pages.console else None
        if self._console is not None:
            self._console.set_thread_count(CONSOLE_THREADS)

    def add_task(self, task: Any) -> None:
        """Take a connection whose request has come."""
        if self._console is None or self._pages.probes(getattr(task.requests[0], "path", "")):
            super().add_task(task)
        else:
            task.seconds = PAGE_SECONDS
            self._console.add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: int = 1) -> bool:
        """End the threads; one that waits for Redis ends with the process."""
        if self._console is not None:
            self._console.shutdown(cancel_pending, timeout)
        return super().shutdown(cancel_pending, timeout)


class _OneRequest(WSGITask):
    """Answer with ``Connection: close``, so that a connection's whole life can be limited."""

    def start(self) -> None:
        super().start()
        self.set_close_on_finish()


class _Connection(HTTPChannel):
    task_class = _OneRequest
    seconds = CONNECTION_SECONDS  #: its longest life


def _shed(connections: list[Any]) -> None:
    """Close connections that are too old, and the oldest when there are too many; spare those being answered."""
    idle = sorted((c for c in connections if not c.requests), key=lambda connection: connection.creation_time)
    now = time.time()
    surplus = len(connections) - MAX_CONNECTIONS
    for position, connection in enumerate(idle):
        if position < surplus or connection.creation_time < now - connection.seconds:
            connection.handle_close()


def _json(status: str, reason: str, **facts: object) -> bytes:
    return json_text({"status": status, "reason": reason, **facts}).encode() + b"\n"


#: What people read who open a console that is closed; machines get the sentence alone.
_HOW_TO_OPEN: Final = (
    "The console is closed. To open it, set MONITOR_PASSWORD (may act, user name operator) or MONITOR_VIEW_PASSWORD "
    "(may look, user name viewer), and deploy again."
)
_CLOSED: Final = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Closed</title><main><h1>Closed</h1><p>{_HOW_TO_OPEN}</p></main>
"""


def _closed(accept: str) -> tuple[str, bytes]:
    if "text/html" in accept:
        return "text/html; charset=utf-8", _CLOSED.encode()
    return "application/json", _json("closed", _HOW_TO_OPEN)
