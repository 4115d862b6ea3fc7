"""The tester of the services around the worker, against real ones and stand-ins, good and bad."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py
from rq import Queue

from tests.support import broken, tasks
from tests.support.diagnosing import tool
from tests.support.render_stub import NAME, Render
from tests.support.sentry_sink import SentrySink
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.upstash import RestApi
from tests.support.waiting import PATIENCE_SECONDS

TOOL = "tools.service_tester"
JOBS = {"WORKER_JOB_MODULES": "jobs", "WORKER_QUEUES": "default"}


def told(*arguments: str, url: str | None = None, **environ: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run the tester; returns its exit code and the outcomes by service."""
    done = tool(TOOL, "--json", *arguments, url=url, **environ)
    assert "hunter2" not in done.stdout + done.stderr
    return done.returncode, {row["service"]: row for row in json.loads(done.stdout)["services"]}


def render_api(**options: Any) -> Render:
    return Render(key="rnd_hunter2", kind="web_service", **options)


def test_what_is_not_configured_is_skipped_and_no_failure() -> None:
    code, services = told("--all")
    assert code == 0
    assert list(services) == ["redis", "upstash", "worker", "health", "sentry", "render"]
    assert {row["status"] for row in services.values()} == {"skipped"}
    assert services["sentry"]["says"] == "SENTRY_DSN is not set"


def test_without_a_service_to_test_it_shows_its_help() -> None:
    done = tool(TOOL)
    assert done.returncode == 2
    assert "--upstash" in done.stdout


def test_it_prints_a_table_with_what_to_do(server: RedisServer) -> None:
    done = tool(TOOL, "--redis", "--worker", "--wait", "0.3", url=server.url)
    assert done.returncode == 1
    header, redis, worker, fix = done.stdout.splitlines()
    assert header.split()[:2] == ["service", "result"]
    assert redis.startswith("! redis")
    assert worker.startswith("✗ worker")
    assert fix.startswith("→ worker: Start a worker with 'default' in WORKER_QUEUES")


def test_everything_configured_and_well(server: RedisServer, redis: redis_py.Redis) -> None:
    port = str(free_port())
    with (
        Service(server.url, **JOBS, HEALTH_HOST="127.0.0.1", HEALTH_PORT=port) as service,
        RestApi() as rest,
        SentrySink() as sentry,
        render_api() as render,
    ):
        until(lambda: redis.smembers("rq:workers:default"), service=service)
        environ = {**rest.environ, **render.environ, "SENTRY_DSN": sentry.dsn}
        until(
            lambda: told("--health", f"http://127.0.0.1:{port}")[1]["health"]["status"] == "ok",
            PATIENCE_SECONDS,
            service=service,
        )
        code, services = told("--all", "--health", f"http://127.0.0.1:{port}", url=server.url, **environ)
        assert code == 0, services
    assert {name: row["status"] for name, row in services.items() if name != "redis"} == dict.fromkeys(
        ("upstash", "worker", "health", "sentry", "render"), "ok"
    )
    assert sentry.events[0]["message"] == "Test event of tools.service_tester"
    assert "event_id" in services["sentry"]["facts"]
    assert set(services["health"]["facts"]) == {"/livez", "/readyz", "/healthz"}
    assert services["render"]["says"] == "worthit-worker (web_service, plan starter) has 1 instance."
    assert services["worker"]["facts"]["status"] == "finished"
    assert not rest.data
    assert not [key for key in redis.scan_iter() if b"probe-" in key], "the job left nothing behind"


# The worker


def test_a_worker_that_may_not_run_the_probe_is_told(server: RedisServer, redis: redis_py.Redis) -> None:
    with Service(server.url, WORKER_QUEUES="default") as service:  # its job modules are those of the tests
        until(lambda: redis.smembers("rq:workers:default"), service=service)
        code, services = told("--worker", url=server.url)
    assert code == 1
    assert "its function is not in the job packages" in services["worker"]["says"]
    assert "WORKER_JOB_MODULES" in services["worker"]["fix"]
    assert redis.llen("rq:queue:dead-letter") == 0
    assert not [key for key in redis.scan_iter() if b"probe-" in key]


def test_a_worker_that_is_busy_is_told_from_none(server: RedisServer, redis: redis_py.Redis) -> None:
    with Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="1") as service:
        Queue("default", connection=redis).enqueue(tasks.sleep, 120, job_id="long")
        until(lambda: redis.hget("rq:job:long", "status") == b"started", service=service)
        _, services = told("--worker", "--wait", "0.5", url=server.url)
        assert "Consumers read 'default', but none took the job" in services["worker"]["says"]
    _, services = told("--worker", "--wait", "0.3", "--queue", "nobodys", url=server.url)
    assert services["worker"]["says"] == "No consumer reads the queue 'nobodys'."


def test_suspended_queues_are_told(server: RedisServer, redis: redis_py.Redis) -> None:
    redis.set("rq:suspended", "1")
    _, services = told("--worker", "--wait", "0.2", url=server.url)
    assert services["worker"]["says"] == "All queues are suspended."


def test_a_redis_that_is_away_is_told_by_both() -> None:
    code, services = told("--redis", "--worker", url=broken.refused())
    assert code == 1
    assert services["redis"]["facts"]["exit_code"] == 12
    assert services["worker"]["facts"]["code"] == "refused"


# The others


def test_a_read_only_token_is_told() -> None:
    with RestApi(read_only=True) as rest:
        code, services = told("--upstash", **rest.environ)
    assert code == 1
    assert "read-only" in services["upstash"]["fix"]


def test_a_wrong_token_is_told() -> None:
    with RestApi() as rest:
        _, services = told("--upstash", **{**rest.environ, "UPSTASH_REDIS_REST_TOKEN": "x-hunter2"})
    assert services["upstash"]["facts"]["code"] == "rest_token"


@pytest.mark.parametrize(
    ("api", "changes", "status", "words"),
    [
        (render_api(), {"RENDER_API_KEY": "rnd_wrong_hunter2"}, "failed", "rejects the key"),
        (render_api(), {"RENDER_SERVICE_ID": "srv-other"}, "failed", "no service of that id"),
        (render_api(suspended=True), {}, "failed", "is suspended"),
        (render_api(running=0), {}, "failed", "no running instance"),
        (render_api(plan="free"), {}, "warning", "sleeps while nobody calls it"),
        (
            render_api(running=2),
            {"RENDER_SERVICE_ID": "", "RENDER_SERVICE_NAME": NAME},
            "ok",
            "2 instances",
        ),
        (render_api(), {"RENDER_SERVICE_ID": "", "RENDER_SERVICE_NAME": "none"}, "failed", "no service named 'none'"),
        (render_api(), {"RENDER_SERVICE_ID": ""}, "warning", "services: worthit-worker"),
    ],
)
def test_render_is_told_as_it_is(api: Render, changes: dict[str, str], status: str, words: str) -> None:
    with api:
        code, services = told("--render", **{**api.environ, **changes})
    assert services["render"]["status"] == status
    assert words in services["render"]["says"]
    assert code == (status == "failed")


def test_what_is_not_renders_api_is_told() -> None:
    with broken.answering(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as port:
        url = f"http://127.0.0.1:{port}/v1"
        _, services = told("--render", RENDER_API_KEY="x", RENDER_API_URL=url, RENDER_SERVICE_ID="srv-a")
    assert services["render"]["says"] == "Another server than Render's API answers."


def test_a_sentry_that_refuses_is_told() -> None:
    with broken.web_server() as other:  # any HTTP server that is not Sentry
        dsn = f"http://key-hunter2@127.0.0.1:{other.rpartition(':')[2]}/1"
        code, services = told("--sentry", SENTRY_DSN=dsn)
    assert code == 1
    assert "refuses events (HTTP 501)" in services["sentry"]["says"]
    assert told("--sentry", SENTRY_DSN="nonsense")[1]["sentry"]["says"] == "SENTRY_DSN is not a DSN."


def test_a_health_url_that_is_dead_or_somebody_elses() -> None:
    assert "refused" in told("--health", f"http://127.0.0.1:{free_port()}")[1]["health"]["says"]
    with broken.web_server() as url:
        somebody = f"http://127.0.0.1:{url.rpartition(':')[2]}"
        assert "Another server than this worker" in told("--health", somebody)[1]["health"]["says"]
    assert "no http://" in told("--health", "ftp://x")[1]["health"]["says"]


def test_a_degraded_service_is_a_warning(own_server: RedisServer) -> None:
    port = str(free_port())
    with Service(own_server.url, **JOBS, HEALTH_HOST="127.0.0.1", HEALTH_PORT=port) as service:
        url = f"http://127.0.0.1:{port}/healthz"
        until(lambda: told("--health", url)[1]["health"]["status"] == "ok", PATIENCE_SECONDS, service=service)
        own_server.kill()
        until(lambda: told("--health", url)[1]["health"]["status"] == "warning", PATIENCE_SECONDS, service=service)
        assert "degraded" in told("--health", url)[1]["health"]["says"]
