"""The worker of this checkout with threads in each consumer, as for jobs that wait for a network."""

from __future__ import annotations

from bench.peers import Start, ours
from bench.peers.ours import enqueue

__all__ = ["commands", "enqueue"]

#: As many as a consumer of I/O-bound jobs would have.
THREADS = 16


def commands(slots: int | None) -> list[Start]:
    """Start the service with WORKER_THREADS."""
    return ours.commands(slots or THREADS)
