"""RQ's worker pool with its worker that does not fork."""

from __future__ import annotations

from bench.peers import Start, rq
from bench.peers.rq import enqueue

__all__ = ["commands", "enqueue"]


def commands(slots: int | None) -> list[Start]:
    """Start one pool of SimpleWorkers."""
    return rq.commands(slots, worker_class="rq.worker.SimpleWorker")
