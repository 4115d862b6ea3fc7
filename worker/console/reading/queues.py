"""Look into a queue. Changes nothing."""

from __future__ import annotations

from redis import Redis

from worker.console.reading import jobs
from worker.console.reading.jobs import JobPage
from worker.keys import Keys


def peek(redis: Redis, keys: Keys, queue: str, *, first: int = 0, most: int = 50) -> JobPage:
    """Return the jobs that wait on a queue from the index `first` on, the next one first. Raises `RedisTrouble`."""
    return jobs.listed(redis, keys, "waiting", queue, first=first, most=most)
