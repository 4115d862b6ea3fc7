"""taskiq on a Redis stream: acknowledged once the result is saved."""

from __future__ import annotations

from functools import partial

from taskiq_redis import RedisStreamBroker

from bench.peers import _taskiq, redis_url

#: consumer_id 0: the group also reads what was enqueued before the first worker came.
broker = RedisStreamBroker(url=redis_url(), consumer_id="0")
_taskiq.equip(broker)
commands = partial(_taskiq.commands, __name__)
enqueue = partial(_taskiq.enqueue, broker)
