"""A service that cannot connect when it starts says why, in the words of the diagnosis."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
import redis as redis_py
from rq import Queue

from tests.support import broken, tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("target", "failed", "words"),
    [
        (nullcontext(broken.unknown_name()), "dns", "The Redis host name does not resolve"),
        (nullcontext(broken.refused()), "tcp", "The Redis host refuses the connection"),
        (broken.web_server(), "redis", "What answers there is not Redis; it is an HTTP server"),
    ],
    ids=["dns", "refused", "http"],
)
def test_a_service_that_cannot_connect_logs_its_diagnosis_once(
    target: AbstractContextManager[str], failed: str, words: str
) -> None:
    with target as url, Service(url) as service:
        event = service.wait_for("redis.diagnosis", timeout=PATIENCE_SECONDS)
        service.wait_for("redis.outage_started", timeout=PATIENCE_SECONDS)
        assert service.terminate() == 0
    assert event["failed"] == failed
    assert event["conclusion"].startswith(words)
    assert event["steps"]["url"] == "ok"
    assert event["steps"]["auth"] == "skipped"
    assert len(service.of("redis.diagnosis")) == 1
    told = str(service.events) + "".join(service.output)
    assert broken.PASSWORD not in told
    assert "gce.invalid" not in told
    assert "Traceback" not in told


def test_a_service_that_connects_says_nothing(server: RedisServer, redis: redis_py.Redis) -> None:
    with Service(server.url) as service:
        Queue("default", connection=redis).enqueue(tasks.add, 1, 2, job_id="first")
        until(lambda: redis.hget("rq:job:first", "status") == b"finished", service=service)
    assert not service.of("redis.diagnosis")
