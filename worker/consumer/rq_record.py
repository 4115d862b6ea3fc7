"""A consumer's own record in Redis, which RQ's tools, the dispatcher and `status` read."""

from __future__ import annotations

import os
import socket

from rq.worker import BaseWorker

from worker.engine import rq_private
from worker.engine.claims import Claims
from worker.engine.leases import BUSY_TTL_SECONDS
from worker.process.memory import resident_mb
from worker.redis import scripts
from worker.redis.calls import Value, flat
from worker.redis.client import translating
from worker.settings import Settings


class RqRecord:
    """The record of `worker`, which is the consumer as RQ knows it."""

    def __init__(self, worker: BaseWorker, claims: Claims, settings: Settings) -> None:
        self._worker = worker
        self._claims = claims
        self._about: dict[str, Value] = {  # for people
            "release": settings.release or "",
            "isolation": settings.worker_isolation,
            "threads": settings.worker_threads,
        }

    def write(self) -> None:
        """Write it as RQ's `register_birth` does, over whatever a predecessor left. Raises `RedisTrouble`."""
        worker = self._worker
        worker.hostname, worker.pid = socket.gethostname(), os.getpid()
        with translating():
            rq_private.note_ip_address(worker, worker.connection)
        worker.birth_date = worker.last_heartbeat = self._claims.clock.today()
        about = {**self._about, "memory_mb": resident_mb(os.getpid())}
        record = {**worker.serialize(), **about, "state": "started", "fence": self._claims.fence}
        queues = worker.queue_names()
        args = (BUSY_TTL_SECONDS, len(queues), *queues, *flat(record))
        self._claims.call(scripts.REGISTER, *args, worker_name=worker.name)

    def close(self) -> None:
        """Write that the worker has ended, as RQ does. Raises `RedisTrouble`."""
        with translating():
            self._worker.register_death()
