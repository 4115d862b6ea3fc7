"""arq with Redis. By default 10 coroutines at once in each process, and a look at the queue every 0.5 s."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any

from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings

from bench.peers import PROCESSES, Start, redis_url
from bench.peers._event_loop import send_all, wait_for
from bench.tasks import ASYNC_BODIES

LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}


def _as_task(body: Callable[[int], Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    async def task(_context: Any, argument: int) -> int:
        return await body(argument)

    return task


class WorkerSettings:
    """What arq's command line reads."""

    functions = tuple(func(_as_task(body), name=name) for name, body in ASYNC_BODIES.items())
    redis_settings = RedisSettings.from_dsn(redis_url())
    max_jobs = int(os.environ.get("BENCH_SLOTS", "10"))


@cache
def _pool() -> ArqRedis:
    return wait_for(create_pool(WorkerSettings.redis_settings))


def commands(slots: int | None) -> list[Start]:
    """Start as many single-process workers as there shall be processes."""
    argv = [
        sys.executable,
        "-m",
        "arq",
        f"{__name__}.WorkerSettings",
        "--custom-log-dict",
        f"{__name__}.LOGGING",
    ]
    return [Start(argv, {"BENCH_SLOTS": str(slots)} if slots else {})] * PROCESSES


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Enqueue one job per argument."""
    pool = _pool()
    send_all(lambda argument: pool.enqueue_job(body, argument), arguments)
