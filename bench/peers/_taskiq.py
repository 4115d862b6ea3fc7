"""What taskiq's two Redis brokers share: tasks, results, the command, the producer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taskiq import AsyncBroker
from taskiq_redis import RedisAsyncResultBackend

from bench.peers import PROCESSES, Start, redis_url
from bench.peers._event_loop import send_all
from bench.tasks import ASYNC_BODIES


def equip(broker: AsyncBroker) -> None:
    """Give `broker` the bench's tasks and a result backend that keeps results as long as RQ does (500 s)."""
    broker.with_result_backend(RedisAsyncResultBackend(redis_url=redis_url(), result_ex_time=500))
    for name, body in ASYNC_BODIES.items():
        broker.register_task(body, task_name=name)


def commands(module: str, slots: int | None) -> list[Start]:
    """Start taskiq's process manager; by default 100 coroutines at once in each process."""
    worker = [sys.executable, "-m", "taskiq", "worker", f"{module}:broker", "--log-level", "WARNING"]
    limit = ["--max-async-tasks", str(slots)] if slots else []
    return [Start([*worker, "--workers", str(PROCESSES), *limit])]


def enqueue(broker: AsyncBroker, body: str, arguments: Sequence[int]) -> None:
    """Kick one task per argument."""
    task = broker.find_task(body)
    if task is None:
        raise LookupError(f"taskiq does not know the task {body!r}")
    send_all(task.kiq, arguments)
