"""The health endpoint: a small HTTP server that answers from shared memory only.

It runs in a process of its own and touches neither Redis nor a lock that others hold, so it answers when
Redis does not and while every consumer is busy. ``server.py`` copes with slow clients.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from worker.health import server, verdict
from worker.health.server import Pages
from worker.health.verdict import Verdict
from worker.process.scoreboard import Scoreboard
from worker.process.slot import State

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from pydantic import SecretStr

    from worker.settings import Settings

_QUESTIONS: Final = {"/livez": verdict.live, "/readyz": verdict.ready, "/healthz": verdict.healthy}


def run(
    scoreboard: Scoreboard, settings: Settings, stop: Callable[[], bool], console: WSGIApplication | None = None
) -> None:
    """Listen on HEALTH_HOST and HEALTH_PORT and serve until `stop()`; raises `HealthPortError`."""
    listener = server.listen(settings.health_host, settings.health_port)
    release = settings.release or ""
    serve(scoreboard, listener, stop, release=release, token=settings.metrics_token, console=console)


def serve(
    scoreboard: Scoreboard,
    listener: socket.socket,
    stop: Callable[[], bool],
    *,
    release: str = "",
    token: SecretStr | None = None,
    console: WSGIApplication | None = None,
) -> None:
    """Answer HTTP on `listener` until `stop()` is true, which each turn checks; then close it.

    Ticks the health slot each turn. `release` is the deployed commit; only /metrics shows it, to who knows `token`.
    """

    def turn() -> bool:
        scoreboard.health.tick(State.SERVING)
        return stop()

    server.serve(pages(scoreboard, release, token, console), listener, turn)


def pages(board: Scoreboard, release: str, token: SecretStr | None, console: WSGIApplication | None = None) -> Pages:
    """Return what is served about `board`."""

    def ask(question: Callable[[Scoreboard, float], Verdict]) -> Verdict:
        return question(board, time.monotonic())

    questions = {path: partial(ask, question) for path, question in _QUESTIONS.items()}
    return Pages(questions, lambda: _facts(board), partial(_metrics, board, release), token, console)


def _metrics(board: Scoreboard, release: str, accept: str, named: bool) -> tuple[str, bytes]:
    # Imported at the first scrape: prometheus_client takes 10 MB, which a service that is never scraped saves.
    from worker.health import metrics  # noqa: PLC0415

    return metrics.exposition(board, release=release, accept=accept, named=named)


def _facts(board: Scoreboard) -> dict[str, object]:
    now = time.monotonic()
    redis = verdict.redis_view(board, now)
    claim = board.seconds_since_claim(now)
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
