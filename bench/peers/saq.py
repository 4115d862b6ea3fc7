"""saq with Redis. By default 10 coroutines at once in each process."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from saq import Queue

from bench.peers import PROCESSES, Start, redis_url
from bench.peers._event_loop import send_all
from bench.tasks import ASYNC_BODIES


def _as_task(body: Callable[[int], Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    async def task(_context: Any, *, argument: int) -> int:
        return await body(argument)

    return task


queue = Queue.from_url(redis_url())
settings = {
    "queue": queue,
    "functions": [(name, _as_task(body)) for name, body in ASYNC_BODIES.items()],
    "concurrency": int(os.environ.get("BENCH_SLOTS", "10")),
}


def commands(slots: int | None) -> list[Start]:
    """Start saq's process manager."""
    argv = [sys.executable, "-m", "saq", f"{__name__}.settings", "--workers", str(PROCESSES)]
    return [Start(argv, {"BENCH_SLOTS": str(slots)} if slots else {})]


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Enqueue one job per argument."""
    send_all(lambda argument: queue.enqueue(body, argument=argument), arguments)
