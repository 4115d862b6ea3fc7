"""Heartbeats that were missed because Redis was away are nobody's death."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import Service, until
from worker.dispatcher.rescue import RESCUE_SECONDS
from worker.engine.leases import BUSY_TTL_SECONDS


def forget_workers(redis: redis_py.Redis) -> int:
    """Let every worker's record run out now, as they do in a long outage; their claims stay."""
    return sum(redis.delete(key) for key in redis.scan_iter("rq:worker:*", _type="hash"))


@pytest.mark.slow
def test_two_instances_come_back_from_a_long_outage_and_nobody_is_rescued(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    queue = Queue("default", connection=redis)
    seconds = BUSY_TTL_SECONDS + 2 * RESCUE_SECONDS
    with Proxy(server.port) as proxy, Service(proxy.url) as first, Service(proxy.url) as second:
        until(lambda: redis.scard("rq:workers") == 4, service=first)
        jobs = [queue.enqueue(tasks.journal_and_sleep, str(journal), seconds, job_timeout=120) for _ in range(4)]
        until(lambda: journal.exists() and journal.read_text().count("begin") == 4, service=first)
        proxy.refuse()
        proxy.cut()
        for service in (first, second):
            service.wait_for("redis.outage_started", timeout=20)
        assert forget_workers(redis) == 4
        began = time.monotonic()
        proxy.admit()
        until(lambda: all(job.get_status() == "finished" for job in jobs), seconds + 30, service=first)
        assert time.monotonic() - began > BUSY_TTL_SECONDS + RESCUE_SECONDS, "long enough for a look at the orphans"
        assert journal.read_text().count("begin") == 4
        for service in (first, second):
            assert not service.of("job.rescued")
            assert not service.of("claims.rescued")
            assert not service.of("job.outcome_dropped")
