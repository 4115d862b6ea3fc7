"""What `/metrics` says of dead letters."""

from __future__ import annotations

import urllib.request

import redis as redis_py
from prometheus_client.parser import text_string_to_metric_families

from tests.support import tasks
from tests.support.letters import bury, seed
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS

TOKEN = "0123456789abcdef"


def test_metrics_count_by_queue_and_reason_and_tell_the_age_of_the_oldest(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    seed(redis, 3, step_seconds=600)
    bury(redis, tasks.give_up, queue="high")
    port = free_port()
    environ = {"WORKER_PROCESSES": "1", "HEALTH_PORT": str(port), "HEALTH_HOST": "127.0.0.1", "METRICS_TOKEN": TOKEN}
    with Service(server.url, **environ) as service:
        counts = until(lambda: _scrape(port), PATIENCE_SECONDS, what="the first count", service=service)
    assert counts["worker_dead_letters", "default", "failed"] == 3
    assert counts["worker_dead_letters", "high", "permanent"] == 1
    assert 1790 <= counts["worker_dead_letter_oldest_age_seconds", "", ""] < 2400


def _scrape(port: int) -> dict[tuple[str, str, str], float]:
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        (sample.name, sample.labels.get("queue", ""), sample.labels.get("reason", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("worker_dead_letter")
    }
