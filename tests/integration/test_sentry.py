"""What Sentry gets, as a real envelope over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue, Retry

from tests.support import neighbours, tasks
from tests.support.job_package import JobPackage
from tests.support.sentry_sink import SentrySink
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def sink() -> Iterator[SentrySink]:
    with SentrySink() as running:
        yield running


def test_a_job_that_fails_for_good_is_one_event_and_its_retries_are_none(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, SENTRY_DSN=sink.dsn, RENDER_GIT_COMMIT="3f2a9c1", WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.boom, "no price on the page", retry=Retry(max=2))
        until(lambda: job.get_status() == "failed", service=service)
        assert service.terminate() == 0
    (event,) = sink.events
    assert event["transaction"] == "tests.support.tasks.boom"
    assert event["release"] == "3f2a9c1"
    assert event["contexts"]["rq-job"] == {
        "job_id": job.id,
        "func": "tests.support.tasks.boom",
        "queue": "default",
        "attempt": 3,
    }
    assert event["tags"]["reason"] == "attempts_exhausted"
    assert event["exception"]["values"][-1]["type"] == "ValueError"


@pytest.mark.parametrize(("threads", "isolation"), [("1", "process"), ("3", "process"), ("1", "job"), ("3", "job")])
def test_an_event_holds_what_its_own_job_has_set_and_nothing_of_other_jobs(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink, threads: str, isolation: str
) -> None:
    queue = Queue("default", connection=redis)
    with Service(
        server.url,
        SENTRY_DSN=sink.dsn,
        WORKER_PROCESSES="1",
        WORKER_THREADS=threads,
        WORKER_ISOLATION=isolation,
        WORKER_JOB_MODULES="tests.support.neighbours",
    ) as service:
        retried = queue.enqueue(neighbours.set_scope, fail=True, retry=Retry(max=2))
        until(lambda: retried.get_status() == "failed", service=service)
        firsts = [queue.enqueue(neighbours.set_scope) for _ in range(6)]
        until(lambda: all(job.get_status() == "finished" for job in firsts), service=service)
        seconds = [queue.enqueue(neighbours.fail) for _ in range(6)]
        until(lambda: all(job.get_status() == "failed" for job in seconds), service=service)
        assert service.terminate() == 0
    first, *others = sink.events
    assert first["user"] == {"email": "first@shop.example"}
    assert first["tags"]["tenant"] == "first"
    assert first["contexts"]["cart"] == {"id": 7}
    assert [crumb["message"] for crumb in first["breadcrumbs"]["values"]] == ["looked at its cart"], "of one attempt"
    assert len(others) == 6
    for event in others:
        assert "email" not in event.get("user", {})
        assert event["tags"]["role"] == "consumer"
        assert "tenant" not in event["tags"]
        assert "cart" not in event["contexts"]
        assert not event.get("breadcrumbs", {}).get("values")
        assert event["transaction"] == "tests.support.neighbours.fail"
    assert len({event["contexts"]["trace"]["trace_id"] for event in sink.events}) == 7


def test_arguments_are_not_sent(server: RedisServer, redis: redis_py.Redis, sink: SentrySink) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, SENTRY_DSN=sink.dsn, WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.add, "card-4111111111111111", 1)  # a TypeError whose message has no values
        until(lambda: job.get_status() == "failed", service=service)
        assert service.terminate() == 0
    assert len(sink.events) == 1
    assert not any(b"4111111111111111" in body for body in sink.bodies)


def test_passwords_in_urls_of_messages_are_not_sent(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, SENTRY_DSN=sink.dsn, WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.boom, "cannot reach redis://default:hunter2@shop:6379/0")
        until(lambda: job.get_status() == "failed", service=service)
        assert service.terminate() == 0
    (event,) = sink.events
    assert event["exception"]["values"][-1]["value"] == "cannot reach redis://…@shop:6379/0"
    assert not any(b"hunter2" in body for body in sink.bodies)


def test_a_crash_is_reported_by_whoever_buries_the_job(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, SENTRY_DSN=sink.dsn, WORKER_MAX_CRASHES="1") as service:
        job = queue.enqueue(tasks.die)
        until(lambda: job.get_status() == "failed", service=service)
        assert service.terminate() == 0
    (event,) = sink.events
    assert event["tags"]["reason"] == "crashed"
    assert "SIGKILL" in event["message"]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_each_run_of_a_job_is_one_transaction_when_traces_are_wanted(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink, threads: str
) -> None:
    queue = Queue("default", connection=redis)
    wanted = {"SENTRY_DSN": sink.dsn, "SENTRY_TRACES_SAMPLE_RATE": "1", "WORKER_PROCESSES": "1"}
    with Service(server.url, WORKER_THREADS=threads, **wanted) as service:
        good = queue.enqueue(tasks.double, 4)
        bad = queue.enqueue(tasks.boom, "redis://default:hunter2@shop/0", retry=Retry(max=1))
        until(lambda: (good.get_status(), bad.get_status()) == ("finished", "failed"), service=service)
        assert service.terminate() == 0
    told = sorted(
        (
            entry["transaction"],
            entry["contexts"]["trace"]["op"],
            entry["contexts"]["trace"]["status"],
            entry["contexts"]["trace"]["data"]["messaging.destination.name"],
            entry["contexts"]["trace"]["data"]["messaging.message.retry.count"],
        )
        for entry in sink.transactions
    )
    assert told == [
        ("tests.support.tasks.boom", "queue.task", "internal_error", "default", 0),
        ("tests.support.tasks.boom", "queue.task", "internal_error", "default", 1),
        ("tests.support.tasks.double", "queue.task", "ok", "default", 0),
    ]
    assert not any(b"hunter2" in body for body in sink.bodies)


def test_no_transaction_is_sent_when_no_traces_are_wanted(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, SENTRY_DSN=sink.dsn, WORKER_PROCESSES="1") as service:
        job = queue.enqueue(tasks.add, 1, 2)
        until(lambda: job.get_status() == "finished", service=service)
        assert service.terminate() == 0
    assert sink.transactions == []


def test_a_lasting_outage_is_one_event(own_server: RedisServer, sink: SentrySink) -> None:
    """The minute after which it is told is shortened in the service's processes, all else is real."""
    modules = "tests.support.tasks,tests.support.impatient"
    with Service(own_server.url, SENTRY_DSN=sink.dsn, WORKER_PROCESSES="1", WORKER_JOB_MODULES=modules) as service:
        service.wait_for("child.spawned", role="consumer")
        until(lambda: own_server.client().smembers("rq:workers"), service=service)
        own_server.kill()
        until(
            lambda: [event for event in sink.events if event["tags"].get("redis") == "refused"],
            PATIENCE_SECONDS,
            service=service,
        )
        for _ in range(3):  # it is logged again and again, by each child
            service.wait_for("redis.outage_continues", timeout=PATIENCE_SECONDS)
            service.events.clear()
        own_server.start()
        service.wait_for("redis.outage_ended")
        assert service.terminate() == 0
    (event,) = sink.events
    assert event["message"].startswith("Redis is away (refused)")
    assert "127.0.0.1" not in event["message"]


PRODUCER = """
import sys, sentry_sdk
from redis import Redis
from rq import Queue
from sentry_sdk.integrations.rq import RqIntegration
sentry_sdk.init(dsn=sys.argv[1], traces_sample_rate=1.0, integrations=[RqIntegration()])
with sentry_sdk.start_transaction(op="http.server", name="/checkout") as transaction:
    Queue("default", connection=Redis.from_url(sys.argv[2])).enqueue("tests.support.tasks.boom", "no price")
    print(transaction.trace_id)
"""


@pytest.mark.parametrize("rate", ["0", "1"])
def test_a_trace_that_its_producer_has_begun_is_continued(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink, rate: str
) -> None:
    with (
        SentrySink() as producers,
        Service(server.url, SENTRY_DSN=sink.dsn, SENTRY_TRACES_SAMPLE_RATE=rate, WORKER_PROCESSES="1") as service,
    ):
        command = [sys.executable, "-c", PRODUCER, producers.dsn, server.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        service.wait_for("job.buried")
        assert service.terminate() == 0
    trace = done.stdout.strip()
    assert [event["contexts"]["trace"]["trace_id"] for event in sink.events] == [trace]
    assert [run["contexts"]["trace"]["trace_id"] for run in sink.transactions] == [trace] * int(rate)


OWN = """
import os, sentry_sdk
from sentry_sdk.integrations.rq import RqIntegration
sentry_sdk.init(dsn=os.environ["OWN_DSN"], environment="shop", traces_sample_rate=1.0, integrations=[RqIntegration()])
"""


@pytest.mark.parametrize("isolation", ["process", "job"])
def test_a_sentry_that_the_team_has_set_up_itself_gets_what_ours_would(
    server: RedisServer, redis: redis_py.Redis, sink: SentrySink, tmp_path: Path, isolation: str
) -> None:
    queue = Queue("default", connection=redis)
    package = JobPackage(tmp_path, jobs="def boom(): raise ValueError('no price')", lifecycle=OWN)
    environ = {**package.environ, "OWN_DSN": sink.dsn, "WORKER_ISOLATION": isolation}
    with Service(server.url, WORKER_PROCESSES="1", **environ) as service:
        job = queue.enqueue(package.function("boom"), retry=Retry(max=1))
        until(lambda: job.get_status() == "failed", service=service)
        assert service.terminate() == 0
    (event,) = sink.events
    assert (event["environment"], event["transaction"]) == ("shop", package.function("boom"))
    assert event["contexts"]["rq-job"]["attempt"] == 2
    assert event["exception"]["values"][-1]["value"] == "no price"
    assert [run["transaction"] for run in sink.transactions] == [package.function("boom")] * 2
