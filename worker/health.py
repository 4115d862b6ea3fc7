"""The health endpoint: a small HTTP server that answers from shared memory only.

It runs in a process of its own and touches neither Redis nor a lock that others hold, so it answers when
Redis does not and while every consumer is busy. A connection serves one request and lives at most
`CONNECTION_SECONDS`, however slowly its client sends or reads; when too many are open, the oldest idle one
makes room, so that a crowd of slow clients never keeps a probe out.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import WSGITask

from worker import verdict
from worker.errors import WorkerError
from worker.scoreboard import Scoreboard, State

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from worker.settings import Settings

#: Threads that answer. An answer is computed in well under a millisecond and never waits.
THREADS: Final = 2
#: The longest life of a connection, from accept to close.
CONNECTION_SECONDS: Final = 5.0
#: Connections held at once.
MAX_CONNECTIONS: Final = 256
#: A probe has no body and few headers.
MAX_REQUEST_BYTES: Final = 8192
#: How often a stop is looked for.
TURN_SECONDS: Final = 0.1

_QUESTIONS: Final = {"/livez": verdict.live, "/readyz": verdict.ready, "/healthz": verdict.healthy}


class HealthPortError(WorkerError):
    """The health endpoint cannot listen on HEALTH_HOST and HEALTH_PORT."""


def run(scoreboard: Scoreboard, settings: Settings, stop: Callable[[], bool]) -> None:
    """Listen where `settings` say and serve until `stop()`; raises `HealthPortError`."""
    listener = listen(settings.health_host, settings.health_port)
    serve(scoreboard, listener, stop, release=settings.release or "")


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


def serve(scoreboard: Scoreboard, listener: socket.socket, stop: Callable[[], bool], *, release: str = "") -> None:
    """Answer HTTP on `listener` until `stop()` is true, which is seen within `TURN_SECONDS`; then close it.

    Ticks the health slot each turn. `release` is the deployed commit; only /metrics shows it.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue of two probes is no news
    channels: dict[int, Any] = {}
    server: Any = create_server(  # its type says less than what the map of channels needs
        App(scoreboard, release),
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
            scoreboard.health.tick(State.SERVING)
            wasyncore.loop(timeout=TURN_SECONDS, use_poll=True, map=channels, count=1)
            _shed(list(server.active_channels.values()))
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(channels)


class App:
    """The WSGI application: GET and HEAD of four paths."""

    def __init__(self, scoreboard: Scoreboard, release: str) -> None:
        self._board = scoreboard
        self._release = release

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path not in _QUESTIONS and path != "/metrics":
            status = HTTPStatus.NOT_FOUND
            body = _json("not_found", f"Nothing is here. Try {', '.join(_QUESTIONS)} or /metrics.")
        elif method not in ("GET", "HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
            headers["Allow"] = "GET, HEAD"
            body = _json("method_not_allowed", "Only GET and HEAD are answered here.")
        elif path == "/metrics":
            status = HTTPStatus.OK
            headers["Content-Type"], body = self._metrics(environ.get("HTTP_ACCEPT", ""))
        else:
            answer = _QUESTIONS[path](self._board, time.monotonic())
            status = HTTPStatus.OK if answer.passed else HTTPStatus.SERVICE_UNAVAILABLE
            body = _json(answer.status, answer.reason, **self._facts())
        headers["Content-Length"] = str(len(body))
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [] if method == "HEAD" else [body]

    def _metrics(self, accept: str) -> tuple[str, bytes]:
        # Imported at the first scrape: prometheus_client costs 10 MB that a service nobody scrapes can save.
        from worker import metrics  # noqa: PLC0415

        return metrics.exposition(self._board, release=self._release, accept=accept)

    def _facts(self) -> dict[str, object]:
        board, now = self._board, time.monotonic()
        redis = verdict.redis_view(board, now)
        claim = verdict.last_claim(board, now)
        return {
            "uptime_seconds": round(now - board.header.started_at, 1),
            "consumers": {
                "wanted": board.header.wanted_consumers,
                "living": verdict.living_consumers(board),
                "busy": sum(1 for slot in board.consumers if verdict.runs_job(slot)),
            },
            "last_claim_seconds": None if claim is None else round(claim, 1),
            "redis": {"state": redis.state, "cause": redis.cause, "seconds": round(redis.seconds, 1)},
        }


class _OneRequest(WSGITask):
    """Answer with ``Connection: close``, so that a connection's whole life can be limited."""

    def start(self) -> None:
        super().start()
        self.set_close_on_finish()


class _Connection(HTTPChannel):
    task_class = _OneRequest


def _shed(connections: list[Any]) -> None:
    """Close what has lived too long, and the oldest when there are too many; spare what is being answered."""
    idle = sorted((c for c in connections if not c.requests), key=lambda connection: connection.creation_time)
    expired_before = time.time() - CONNECTION_SECONDS
    surplus = len(connections) - MAX_CONNECTIONS
    for position, connection in enumerate(idle):
        if position < surplus or connection.creation_time < expired_before:
            connection.handle_close()


def _json(status: str, reason: str, **facts: object) -> bytes:
    return json.dumps({"status": status, "reason": reason, **facts}).encode() + b"\n"
