"""dramatiq with its Redis broker and result backend. By default 8 threads in each process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers import PROCESSES, Start, redis_url
from bench.tasks import BODIES

broker = RedisBroker(url=redis_url())
broker.add_middleware(Results(backend=RedisBackend(url=redis_url()), store_results=True))
dramatiq.set_broker(broker)
ACTORS = {name: dramatiq.actor(body, actor_name=name) for name, body in BODIES.items()}


def commands(slots: int | None) -> list[Start]:
    """Start dramatiq's master, which forks the processes."""
    threads = ["--threads", str(slots)] if slots else []
    return [Start([sys.executable, "-m", "dramatiq", __name__, "--processes", str(PROCESSES), *threads])]


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Send one message per argument."""
    for argument in arguments:
        ACTORS[body].send(argument)
