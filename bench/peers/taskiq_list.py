"""taskiq on a Redis list: a job leaves the list when it is taken, so a killed worker loses it."""

from __future__ import annotations

from functools import partial

from taskiq_redis import ListQueueBroker

from bench.peers import _taskiq, redis_url

broker = ListQueueBroker(url=redis_url())
_taskiq.equip(broker)
commands = partial(_taskiq.commands, __name__)
enqueue = partial(_taskiq.enqueue, broker)
