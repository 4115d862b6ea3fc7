"""One probe of --watch: the name, a new connection, and the connection that is held open."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.diagnosis.case import Case
from worker.diagnosis.steps.auth import client_of
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble
from worker.text import text_of


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. `seconds`: to connect, log in and PING anew; `cut`: the held connection was lost."""

    trouble: RedisTrouble | None
    seconds: float
    addresses: frozenset[str] = frozenset()
    role: str = ""
    run_id: str = ""  #: another one means a restart or another server; "" where INFO is refused
    cut: bool = False


class Prober:
    """Probes a target; holds one connection open between probes."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._held: Redis | None = None

    def probe(self) -> ProbeResult:
        """Probe once, within the case's timeout."""
        self._case.began = monotonic()
        addresses: frozenset[str] = frozenset()
        began = monotonic()
        try:
            addresses = self._resolve()
            began = monotonic()
            with client_of(self._case) as client:
                metadata = _hello(client)
                client.ping()
                seconds = monotonic() - began
                run_id = _run_id(client)
        except (RedisError, OSError) as error:
            reason = translate(error) or trouble("unknown", type(error).__name__)
            self.close()
            return ProbeResult(reason, monotonic() - began, addresses)
        return ProbeResult(
            None,
            seconds,
            addresses,
            role=str(metadata.get("role", "")),
            run_id=run_id,
            cut=self._is_cut(),
        )

    def close(self) -> None:
        """Close the held connection."""
        if self._held is not None:
            with suppress(RedisError, OSError):
                self._held.close()
            self._held = None

    def _resolve(self) -> frozenset[str]:
        """Resolve in a thread, because the C library cannot be given a timeout."""
        target = self._case.there
        if not target.host:  # a unix socket, or Sentinels, who say where it is
            return frozenset()
        future: Future[frozenset[str]] = Future()

        def run() -> None:
            try:
                rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
                future.set_result(frozenset(str(row[4][0]) for row in rows))
            except OSError as error:
                future.set_exception(error)

        Thread(target=run, daemon=True).start()
        try:
            return future.result(timeout=self._case.left)
        except FutureTimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer in time") from None

    def _is_cut(self) -> bool:
        """Whether the held connection was closed since the last probe; a new one is opened then."""
        if self._held is None:
            self._held = client_of(self._case)
            with suppress(RedisError, OSError):
                self._held.ping()
            return False
        try:
            self._held.ping()
        except (RedisError, OSError):
            self.close()
            return True
        return False


def _run_id(client: Redis) -> str:
    with suppress(ResponseError):
        return str(client.info("server").get("run_id", ""))
    return ""


def _hello(client: Redis) -> dict[str, Any]:
    """Return how the server described itself when the connection was made, with text keys."""
    connection = client.connection_pool.get_connection()
    try:
        metadata = getattr(connection, "handshake_metadata", None) or {}
    finally:
        client.connection_pool.release(connection)
    if not isinstance(metadata, dict):
        return {}
    return {text_of(name): text_of(value) if isinstance(value, bytes) else value for name, value in metadata.items()}
