"""The doorbell without a dispatcher around it."""

from __future__ import annotations

import select

from tests.support.waiting import PATIENCE_SECONDS
from worker import queue
from worker.redis.doorbell import BLOCK_SECONDS, Doorbell
from worker.settings.load import load


def bell_on(url: str, *queues: str, block: float = BLOCK_SECONDS) -> Doorbell:
    """Return a doorbell for queues of a server, by default for `default`."""
    settings = load({"REDIS_URL": url})
    return Doorbell(
        lambda: queue.build_client(settings, client_name="bell", blocking=True),
        "rq",
        queues or ("default",),
        block=block,
    )


def wait_for_ring(doorbell: Doorbell, seconds: float = PATIENCE_SECONDS) -> int:
    """Return how often it rang; 0 when it did not in time."""
    ready, _, _ = select.select(doorbell.filenos(), [], [], seconds)
    return doorbell.rung() if ready else 0
