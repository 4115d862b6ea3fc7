"""The worker of this checkout, fed by plain RQ."""

from __future__ import annotations

import sys

from bench.peers import PROCESSES, Start, redis_url
from bench.peers._rq_producer import enqueue

__all__ = ["commands", "enqueue"]


def commands(slots: int | None, log_level: str = "WARNING", isolation: str = "process") -> list[Start]:
    """Start the service; its threads per consumer are its slots, 1 by default."""
    environ = {
        "REDIS_URL": redis_url(),
        "WORKER_QUEUES": "default",
        "WORKER_PROCESSES": str(PROCESSES),
        "WORKER_THREADS": str(slots or 1),
        "WORKER_JOB_MODULES": "bench.tasks",
        "WORKER_ISOLATION": isolation,
        "LOG_LEVEL": log_level,
        "LOG_FORMAT": "json",
        "HEALTH_PORT": "0",
    }
    return [Start([sys.executable, "-m", "worker"], environ)]
