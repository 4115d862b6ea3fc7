"""A server that is there and says nothing is found out, however idle or busy the service is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import Service, until


@contextmanager
def silenced(server: RedisServer, proxy: Proxy, how: str) -> Iterator[None]:
    """Let the server freeze, or the way to it swallow everything."""
    if how == "frozen":
        server.freeze()
    proxy.blackhole = how == "blackhole"
    try:
        yield
    finally:
        proxy.blackhole = False
        server.thaw()


@pytest.mark.parametrize(
    ("how", "busy"),
    [
        ("blackhole", False),
        pytest.param("blackhole", True, marks=pytest.mark.slow),
        pytest.param("frozen", False, marks=pytest.mark.slow),
        pytest.param("frozen", True, marks=pytest.mark.slow),
    ],
)
def test_silence_is_noticed_although_nothing_falls_due_and_ends_when_it_ends(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path, how: str, busy: bool
) -> None:
    """The scheduler looks as rarely as on Upstash, where 20 s are promised; where it looks each second, 15 s are."""
    queue = Queue("default", connection=redis)
    journal = tmp_path / "journal"
    environ = {"WORKER_SCHEDULER_INTERVAL": "15", "WORKER_PROCESSES": "1"}
    with Proxy(server.port) as proxy, Service(proxy.url, **environ) as service:
        until(lambda: redis.scard("rq:workers") == 1, service=service)
        children = service.children()
        jobs = [queue.enqueue(tasks.journal_and_sleep, str(journal), 25)] if busy else []
        if busy:
            until(journal.exists, service=service)
        with silenced(server, proxy, how):
            began = time.monotonic()
            assert service.wait_for("redis.outage_started", timeout=60)["code"] == "read_timeout"
            print(f"{how}, {'busy' if busy else 'idle'}: noticed after {time.monotonic() - began:.1f} s")
        jobs.append(queue.enqueue(tasks.add, 1, 2))
        until(lambda: all(job.get_status() == "finished" for job in jobs), 90, service=service)
        assert service.children() == children
        if busy:
            assert journal.read_text().count("begin") == 1
        assert service.terminate() == 0
