"""A consumer inside the test's process."""

from __future__ import annotations

import redis as redis_py

from worker.consumer import Consumer
from worker.settings.load import load

SETTINGS = {"WORKER_JOB_MODULES": "tests.support.tasks", "WORKER_QUEUES": "high,default"}


def consumer(redis: redis_py.Redis, *queues: str, **environ: str) -> Consumer:
    """Make a consumer that runs alone; by default on `high` and `default`."""
    settings = load({**SETTINGS, **environ}, need_redis_url=False)
    return Consumer(list(queues or ("high", "default")), connection=redis, settings=settings)


def work(redis: redis_py.Redis, **environ: str) -> None:
    """Let a consumer do what is on its queues, and what that puts there."""
    consumer(redis, **environ).work(burst=True)
