"""RQ's own worker pool; by default each job runs in a fork of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers import PROCESSES, Start, redis_url
from bench.peers._rq_producer import enqueue

__all__ = ["commands", "enqueue"]


def commands(slots: int | None, worker_class: str = "rq.worker.Worker") -> list[Start]:
    """Start one pool. An RQ worker runs one job at a time, so slots are workers."""
    workers = str(PROCESSES * (slots or 1))
    rq = str(Path(sys.executable).with_name("rq"))
    argv = [rq, "worker-pool", "default", "-n", workers, "-u", redis_url(), "-w", worker_class, "--quiet"]
    return [Start(argv)]
