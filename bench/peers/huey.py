"""huey with Redis: a job leaves the list when it is taken, so a killed worker loses it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from huey import RedisHuey

from bench.peers import PROCESSES, Start, redis_url
from bench.tasks import BODIES

huey = RedisHuey("bench", url=redis_url())
TASKS = {name: huey.task(name=name)(body) for name, body in BODIES.items()}


def commands(slots: int | None) -> list[Start]:
    """Start one consumer with worker processes, or for several slots one with threads per process."""
    consumer = [sys.executable, "-m", "huey.bin.huey_consumer", f"{__name__}.huey", "--quiet"]
    if slots is None:
        return [Start([*consumer, "-k", "process", "-w", str(PROCESSES)])]
    return [Start([*consumer, "-k", "thread", "-w", str(slots)])] * PROCESSES


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Call the task once per argument."""
    for argument in arguments:
        TASKS[body](argument)
