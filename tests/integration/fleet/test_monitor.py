"""`python -m worker monitor` as a process: what it says about a real fleet, and what it makes of Render's stub."""

from __future__ import annotations

import http.client
import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue
from rq.suspension import resume, suspend

from tests.support import tasks
from tests.support.render_stub import KEY, NAME, Render
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS


def monitor(redis_url: str, **environ: str) -> Service:
    defaults = {"MONITOR_INTERVAL": "0.5", "WORKER_QUEUES": "default"}
    return Service(redis_url, "monitor", HEALTH_PORT=str(free_port()), **{**defaults, **environ})


def ask(service: Service, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.environ['HEALTH_PORT']}{path}", timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except (OSError, http.client.HTTPException):
        return 0, {}


def reason(service: Service, path: str) -> str:
    return str(ask(service, path)[1].get("reason"))


def says(service: Service, path: str, code: int, status: str) -> dict[str, Any]:
    """Wait until a path answers so; returns the body."""

    def answer() -> dict[str, Any] | None:
        got, body = ask(service, path)
        return body if (got, body.get("status")) == (code, status) else None

    body: dict[str, Any] = until(answer, PATIENCE_SECONDS, what=f"{path} {code} {status}", service=service)
    return body


TOKEN = "0123456789abcdef"


def scrape(service: Service, token: str = "") -> dict[tuple[str, str], float]:
    """Return each sample of /metrics by its name and its labels' values."""
    request = urllib.request.Request(f"http://127.0.0.1:{service.environ['HEALTH_PORT']}/metrics")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def watching(server: RedisServer) -> Iterator[Service]:
    with monitor(server.url) as service:
        yield service


def test_it_tells_whether_jobs_would_be_run_and_stays_healthy_when_they_would_not(
    watching: Service, server: RedisServer, redis: redis_py.Redis
) -> None:
    body = says(watching, "/readyz", 503, "degraded")
    assert body["reason"] == "No living consumer reads the queue 'default'."
    assert says(watching, "/healthz", 200, "degraded")["reason"] == body["reason"]
    says(watching, "/livez", 200, "ok")
    with Service(server.url, WORKER_QUEUES="default") as fleet:
        both = {"waiting": 0, "running": 0, "oldest_wait_seconds": 0, "consumers": 2}
        until(  # the fleet is ready with its first consumer already
            lambda: says(watching, "/readyz", 200, "ok")["queues"]["default"] == both,
            what="both consumers are seen",
            service=watching,
        )
        suspend(redis)
        assert "rq resume" in says(watching, "/readyz", 503, "quiet")["reason"]
        resume(redis)
        says(watching, "/healthz", 200, "ok")
        fleet.terminate()
    says(watching, "/readyz", 503, "degraded")


def test_strangers_learn_the_verdict_and_no_name(server: RedisServer, redis: redis_py.Redis) -> None:
    for queue, jobs in (("secret-plans", 2), ("default", 1)):
        for number in range(jobs):
            Queue(queue, connection=redis).enqueue(tasks.add, number, 1)
    with monitor(server.url, RENDER_GIT_COMMIT="3f2a9c1") as open_to_all:
        says(open_to_all, "/readyz", 503, "degraded")
        samples = scrape(open_to_all)
        assert samples["worker_fleet_waiting_jobs", "*"] == 3
        assert 0 < samples["worker_fleet_oldest_wait_seconds", "*"] < 600
        assert samples["worker_build_info", ""] == 1
        assert not {name for _, labels in samples for name in ("default", "secret-plans") if name in labels}
    with monitor(server.url, METRICS_TOKEN=TOKEN, RENDER_GIT_COMMIT="3f2a9c1") as closed:
        body = says(closed, "/readyz", 503, "degraded")
        assert set(body) == {"status", "reason"}
        for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                scrape(closed, token)
            assert (refused.value.code, refused.value.headers["WWW-Authenticate"]) == (401, "Bearer")
        samples = scrape(closed, TOKEN)
        assert samples["worker_fleet_waiting_jobs", "secret-plans"] == 2
        assert samples["worker_build_info", "3f2a9c1"] == 1


def test_a_job_that_waits_too_long_makes_the_fleet_late_and_the_monitor_keeps_healthy(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with (
        monitor(server.url, MONITOR_MAX_WAIT="1", METRICS_TOKEN=TOKEN) as watching,
        Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="1") as fleet,
    ):
        says(watching, "/readyz", 200, "ok")
        queue = Queue("default", connection=redis)
        queue.enqueue(tasks.nap_in_steps, 120)
        until(lambda: redis.zcard("rq:wip:default") == 1, service=fleet)
        queue.enqueue(tasks.add, 1, 2)
        late = says(watching, "/readyz", 503, "degraded")["reason"]
        assert re.search(r"has waited \d+ s, longer than 1 s", late), late
        assert ask(watching, "/healthz")[0] == 200
        samples = scrape(watching, TOKEN)
        assert samples["worker_fleet_waiting_jobs", "default"] == 1
        assert samples["worker_fleet_running_jobs", "default"] == 1
        assert samples["worker_fleet_oldest_wait_seconds", "default"] > 1
        assert samples["worker_fleet_busy_consumers", ""] == 1
        assert samples["worker_fleet_consumers", ""] == 1
        assert samples["worker_monitor_redis_connected", ""] == 1


def test_it_is_strict_until_redis_was_reached_once_and_rides_out_what_comes_then(own_server: RedisServer) -> None:
    own_server.kill()
    with monitor(own_server.url) as watching:
        says(watching, "/healthz", 503, "starting")
        waits = "Not yet connected since the start. Redis has been away for"
        until(lambda: waits in says(watching, "/healthz", 503, "starting")["reason"], service=watching)
        own_server.restart(keep_data=True)
        says(watching, "/healthz", 200, "degraded")
        own_server.kill()
        until(lambda: "Redis has been away" in reason(watching, "/healthz"), service=watching)
        assert ask(watching, "/healthz")[0] == 200
        assert ask(watching, "/readyz")[0] == 503
        assert ask(watching, "/livez")[0] == 200
        assert scrape(watching)["worker_monitor_redis_connected", ""] == 0
        for _, body in (ask(watching, "/healthz"), ask(watching, "/readyz")):
            assert "127.0.0.1" not in json.dumps(body)
        own_server.restart(keep_data=True)
        until(lambda: "No living consumer" in reason(watching, "/readyz"), service=watching)
        assert watching.wait_for("redis.outage_started")["code"] == "refused", "the first"


def test_it_scales_and_hands_the_lead_over_when_it_stops(server: RedisServer, redis: redis_py.Redis) -> None:
    scales = {
        "AUTOSCALE_SERVICE": NAME,
        "RENDER_API_KEY": KEY,
        "AUTOSCALE_WAIT": "0.5",
        "AUTOSCALE_COOLDOWN": "1",
        "AUTOSCALE_IDLE": "1",
        "AUTOSCALE_MAX": "3",
    }
    with (
        Render() as render,
        monitor(server.url, RENDER_API_URL=render.url, **scales) as first,
        Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="1") as fleet,
    ):
        jobs = [Queue("default", connection=redis).enqueue(tasks.nap_in_steps, 120) for _ in range(2)]
        until(lambda: render.instances == 3, PATIENCE_SECONDS, service=first)
        first.wait_for("autoscaler.held", reason="at_maximum")
        assert [(event["before"], event["after"]) for event in first.of("autoscaler.scaled")] == [(1, 2), (2, 3)]
        samples = scrape(first)
        assert samples["worker_autoscaler_instances", ""] == 3
        assert samples["worker_autoscaler_changes_total", "out"] == 2
        assert samples["worker_autoscaler_decisions_total", "late"] == 2
        assert samples["worker_autoscaler_leads", ""] == 1
        assert ask(first, "/healthz")[1]["autoscaler"]["reason"] == "at_maximum"
        with monitor(server.url, RENDER_API_URL=render.url, **scales) as second:
            second.wait_for("monitor.started", autoscales=True)
            until(lambda: ask(second, "/livez")[0] == 200, service=second)
            assert scrape(second)["worker_autoscaler_leads", ""] == 0
            assert first.terminate() == 0
            assert fleet.terminate() == 0, "its running job goes back"
            for job in jobs:
                job.delete()
            until(lambda: len(second.of("autoscaler.scaled")) == 2, PATIENCE_SECONDS, service=second)
            assert render.instances == 1
            assert [event["reason"] for event in second.of("autoscaler.scaled")] == ["idle", "idle"]
        assert KEY not in str(first.events + second.events)


def test_without_a_key_it_only_watches_and_says_so(server: RedisServer) -> None:
    with monitor(server.url, AUTOSCALE_SERVICE=NAME) as watching:
        assert "RENDER_API_KEY" in watching.wait_for("autoscaler.off")["sentence"]
        watching.wait_for("monitor.started", autoscales=False)
        watching.signal(signal.SIGINT)
        assert watching.wait() == 0


def test_a_busy_port_ends_it_in_words(server: RedisServer, watching: Service) -> None:
    says(watching, "/livez", 200, "ok")
    with Service(server.url, "monitor", HEALTH_PORT=watching.environ["HEALTH_PORT"]) as second:
        assert second.wait() == 69
        assert "address already in use" in second.wait_for("health.cannot_listen")["error"]
