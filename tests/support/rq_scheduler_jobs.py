"""Jobs that rq-scheduler keeps, as `django_rq.get_scheduler()` makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import redis as redis_py
from rq.job import Job
from rq_scheduler import Scheduler

from tests.support import tasks


def put_off(redis: redis_py.Redis) -> list[Job]:
    """A job for in an hour, one that repeats, one of a cron line."""
    scheduler = Scheduler(connection=redis)
    return [
        scheduler.enqueue_in(timedelta(hours=1), tasks.add, 1, 2),
        scheduler.schedule(datetime.now(UTC) + timedelta(hours=1), tasks.add, [3, 4], interval=60, repeat=5),
        scheduler.cron("0 0 1 1 *", tasks.add, [5, 6]),
    ]
