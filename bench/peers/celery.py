"""celery with Redis as broker and result backend, acknowledging late: a killed worker's job runs again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from celery import Celery

from bench.peers import PROCESSES, Start, redis_url
from bench.tasks import BODIES

app = Celery("bench", broker=redis_url(), backend=redis_url())
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True)
TASKS = {name: app.task(body, name=name) for name, body in BODIES.items()}


def commands(slots: int | None) -> list[Start]:
    """Start one prefork parent, or for several slots one worker with a thread pool per process."""
    worker = [sys.executable, "-m", "celery", "-A", __name__, "worker", "--loglevel", "WARNING"]
    if slots is None:
        return [Start([*worker, "--concurrency", str(PROCESSES)])]
    threads = [*worker, "--pool", "threads", "--concurrency", str(slots)]
    return [Start([*threads, "--hostname", f"{index}@%h"]) for index in range(PROCESSES)]


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Send one task per argument."""
    for argument in arguments:
        TASKS[body].delay(argument)
