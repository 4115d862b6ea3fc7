"""RQ's dequeue strategies: the order in which a consumer asks its queues, which may change with each job."""

from __future__ import annotations

import random

from rq.worker import DequeueStrategy


def reordered(queues: tuple[str, ...], served: str, strategy: DequeueStrategy) -> tuple[str, ...]:
    """Return `queues` in their next order, after a job of the queue `served`."""
    if strategy == DequeueStrategy.ROUND_ROBIN:
        after = queues.index(served) + 1
        return queues[after:] + queues[:after]
    if strategy == DequeueStrategy.RANDOM:
        return tuple(random.sample(queues, len(queues)))
    return queues
