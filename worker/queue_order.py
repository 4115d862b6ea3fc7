"""RQ's dequeue strategies: the order in which a consumer asks its queues, which may change with each job."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rq.worker import DequeueStrategy


def reordered(queues: Sequence[str], served: str, strategy: DequeueStrategy) -> tuple[str, ...]:
    """Return `queues` in their next order, after a job of the queue `served`."""
    names = list(queues)
    if strategy == DequeueStrategy.ROUND_ROBIN:
        after = names.index(served) + 1
        names = names[after:] + names[:after]
    elif strategy == DequeueStrategy.RANDOM:
        random.shuffle(names)
    return tuple(names)
