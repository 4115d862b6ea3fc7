"""The queues under comparison.

Each is one module of this package that is imported only inside its own virtual environment and offers

    commands(slots: int | None) -> list[Start]      # start 2 worker processes, `slots` jobs at once in each
    enqueue(body: str, arguments: Sequence[int])    # one job of `bench.tasks` per argument

`slots=None` asks for the concurrency that the library has by default. Results are kept, log lines per job
are off, and everything else is left as its documentation starts it. Redis is at ``BENCH_REDIS_URL``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Worker processes of every peer.
PROCESSES = 2


@dataclass(frozen=True)
class Start:
    """One command that starts workers, and what its environment needs besides the harness's own variables."""

    argv: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """What the harness knows of a queue without importing it."""

    name: str
    label: str
    #: Pinned requirements in `peers/<environment>.txt`; None is the interpreter that runs the harness.
    environment: str | None
    #: No-op jobs a second that two processes were once seen to run: sizes the runs to a few seconds each.
    pace: int


PEERS = {
    peer.name: peer
    for peer in (
        Peer("ours", "WorthIt! worker", None, 15_000),
        Peer("ours_logging", "WorthIt! worker, a log line per job", None, 10_000),
        Peer("ours_threads", "WorthIt! worker, 16 threads a consumer", None, 8_000),
        Peer("ours_forked", "WorthIt! worker, a fork per job", None, 1_500),
        Peer("rq", "RQ worker-pool (fork per job)", "rq", 200),
        Peer("rq_simple", "RQ worker-pool, SimpleWorker", "rq", 700),
        Peer("dramatiq", "dramatiq", "dramatiq", 4_500),
        Peer("huey", "huey (at most once)", "huey", 6_000),
        Peer("celery", "celery, prefork, acks_late", "celery", 1_200),
        Peer("taskiq_list", "taskiq, list (at most once)", "taskiq", 4_000),
        Peer("taskiq_stream", "taskiq, stream", "taskiq", 4_000),
        Peer("saq", "saq", "saq", 3_500),
        Peer("arq", "arq", "arq", 600),
    )
}


def redis_url() -> str:
    """Return where this process shall find Redis."""
    return os.environ["BENCH_REDIS_URL"]
