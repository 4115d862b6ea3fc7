"""What dead letters tell of themselves: metrics, and an alert when a kind of failure becomes frequent."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.letters import actions, box, bury, seed
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.shop import Shop, status
from tests.support.waiting import PATIENCE_SECONDS
from worker.dead_letters.alerts import Alerts
from worker.dead_letters.trim import Trim
from worker.errors import SettingsError
from worker.settings.load import load

ALERTING = {
    "DEAD_LETTER_ALERT_RATE": "3/1h",
    "DEAD_LETTER_ALERT_URL": "https://hooks.example.com/letters?token=hunter2",
    "NOTIFY_SECRET": "s3cret",
}


def passes(redis: redis_py.Redis, count: int = 1, **environ: str) -> list[str]:
    """Go over the letters as the dispatcher does; returns the alerts that wait on the queue."""
    settings = load({**ALERTING, **environ}, need_redis_url=False)
    for _ in range(count):
        alerts = Alerts(redis, settings)
        for _ in Trim(actions(redis), 86400, 100, alerts.count, alerts.send).steps():
            pass
    return Queue("default", connection=redis).job_ids


def test_a_kind_that_passes_the_rate_is_told_once_a_window(redis: redis_py.Redis) -> None:
    seed(redis, 8, kinds=3)  # 3, 3 and 2 of a kind
    names = [f"dead-letter-alert-{kind:012x}" for kind in (0, 1)]
    assert sorted(passes(redis, 3)) == names
    job = Queue("default", connection=redis).fetch_job(names[0])
    assert job is not None
    url, payload, event_id = job.args
    assert url == ALERTING["DEAD_LETTER_ALERT_URL"]
    assert event_id.startswith(names[0])
    assert (payload["letters"], payload["seconds"], payload["fingerprint"]) == (3, 3600, "0" * 12)
    assert payload["function"] == "tests.support.tasks.kind_0"
    assert (job.result_ttl, job.failure_ttl) == (3600, 3600), "so long it stands in the way of another"
    assert "hunter2" not in job.description
    redis.delete(job.key)  # what Redis does when the window is over
    redis.delete("rq:queue:default")
    assert passes(redis) == names[:1]


def test_what_is_older_than_the_window_does_not_count(redis: redis_py.Redis) -> None:
    seed(redis, 3, step_seconds=1500)  # 75, 50 and 25 minutes ago
    assert passes(redis) == []
    assert passes(redis, DEAD_LETTER_ALERT_RATE="3/90m") != []


def test_without_a_rate_nobody_is_told(redis: redis_py.Redis) -> None:
    seed(redis, 5)
    assert passes(redis, DEAD_LETTER_ALERT_RATE="") == []


def test_alerts_that_fail_are_no_reason_for_alerts(redis: redis_py.Redis) -> None:
    for number in range(3):
        bury(redis, tasks.boom, job_id=f"dead-letter-alert-{number}")
    assert len(box(redis).letters([f"dead-letter-alert-{number}" for number in range(3)])) == 3
    assert passes(redis) == []


def test_an_alert_is_delivered_signed(server: RedisServer, redis: redis_py.Redis) -> None:
    for number in range(3):
        bury(redis, tasks.boom, f"number {number}")
    with Shop() as receiver:
        receiver.routes["/letters"] = status(204)
        environ = {
            **ALERTING,
            "DEAD_LETTER_ALERT_URL": receiver.url("/letters"),
            "WORKER_ALLOW_PRIVATE_ADDRESSES": "true",
            "WORKER_JOB_MODULES": "jobs,tests.support.tasks",
        }
        with Service(server.url, WORKER_PROCESSES="1", **environ) as service:
            until(lambda: receiver.requests, PATIENCE_SECONDS, what="the alert's delivery", service=service)
            event = service.wait_for("dead_letters.alert")
            until(lambda: redis.zcard("rq:finished:high") == 1, service=service)
    (request,) = receiver.requests
    told: dict[str, Any] = json.loads(request.body)
    assert (told["event"], told["letters"], told["message"]) == ("dead_letters.rate", 3, "number 2")
    assert told["fingerprint"] == event["fingerprint"]
    assert request.headers["webhook-signature"].startswith("t=")


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"DEAD_LETTER_ALERT_RATE": "often"}, "DEAD_LETTER_ALERT_RATE"),
        ({"DEAD_LETTER_ALERT_RATE": "0/h"}, "DEAD_LETTER_ALERT_RATE"),
        ({"NOTIFY_SECRET": ""}, "NOTIFY_SECRET"),
        ({"DEAD_LETTER_ALERT_URL": ""}, "DEAD_LETTER_ALERT_URL"),
        ({"WORKER_JOB_MODULES": "billing"}, "WORKER_JOB_MODULES"),
    ],
)
def test_settings_that_cannot_work_are_said(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**ALERTING, **environ}, need_redis_url=False)
    assert [problem.variable for problem in caught.value.problems] == [variable]
    assert "hunter2" not in str(caught.value)
