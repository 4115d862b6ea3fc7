"""Plain RQ as the producer: the same for RQ's workers and for ours, which speak one data model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from redis import Redis
from rq import Queue

from bench.peers import redis_url
from bench.tasks import BODIES

#: Jobs in one pipeline: bounds its memory, costs nothing in speed.
CHUNK = 500


@cache
def _queue() -> Queue:
    return Queue("default", connection=Redis.from_url(redis_url()))


def enqueue(body: str, arguments: Sequence[int]) -> None:
    """Enqueue a single job as an application does, many in pipelines."""
    function = BODIES[body]
    if len(arguments) == 1:
        _queue().enqueue(function, arguments[0])
        return
    for first in range(0, len(arguments), CHUNK):
        chunk = arguments[first : first + CHUNK]
        _queue().enqueue_many([Queue.prepare_data(function, (argument,)) for argument in chunk])
