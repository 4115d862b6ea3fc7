"""A consumer's own record in Redis, which RQ's tools, the dispatcher and `status` read."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from rq import worker_registration
from rq.utils import now

from worker.engine.leases import BUSY_TTL_SECONDS
from worker.process.memory import resident_mb

if TYPE_CHECKING:
    from worker.consumer import Consumer


def register(consumer: Consumer) -> None:
    """Write the record as RQ's `register_birth` does, over whatever a predecessor left. Raises redis-py's errors."""
    consumer.hostname, consumer.pid = socket.gethostname(), os.getpid()
    consumer._set_ip_address(consumer.connection)
    consumer.birth_date = consumer.last_heartbeat = now()
    about = {"memory_mb": resident_mb(os.getpid()), "release": consumer.settings.release or ""}  # for people
    record = {**consumer.serialize(), **about, "state": "started", "fence": consumer.claims.fence}
    with consumer.connection.pipeline() as pipeline:
        pipeline.hdel(consumer.key, "death", "shutdown_requested_date")
        pipeline.hset(consumer.key, mapping=record)
        worker_registration.register(consumer, pipeline)
        pipeline.expire(consumer.key, BUSY_TTL_SECONDS)
        pipeline.execute()
