"""A consumer that runs alone, as under ``rq worker -w worker.consumer.Consumer``; its claims live some seconds only."""

from __future__ import annotations

import sys

from worker.engine import leases

#: Instead of 30: how long a worker that holds claims lives without a heartbeat.
BUSY_TTL_SECONDS = 4
NAME = "lone"


def main(redis_url: str) -> None:
    leases.BUSY_TTL_SECONDS = BUSY_TTL_SECONDS  # type: ignore[misc]  # before anybody has taken it over
    import redis

    from worker.consumer import Consumer
    from worker.settings.load import load

    settings = load({"WORKER_JOB_MODULES": "tests.support.tasks", "LOG_FORMAT": "json"}, need_redis_url=False)
    connection = redis.Redis.from_url(redis_url)
    Consumer(["default"], name=NAME, connection=connection, settings=settings, job_monitoring_interval=1).work()


if __name__ == "__main__":
    main(sys.argv[1])
