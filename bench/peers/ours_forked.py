"""The worker of this checkout with RQ's isolation: a fork for each job."""

from __future__ import annotations

from bench.peers import Start, ours
from bench.peers.ours import enqueue

__all__ = ["commands", "enqueue"]


def commands(slots: int | None) -> list[Start]:
    """Start the service with WORKER_ISOLATION=job; its slots are forks at once in a consumer."""
    return ours.commands(slots, isolation="job")
