"""Webhooks of RQ's clients go to public sites only, once, within ten seconds, and by no redirect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from rq.webhook import Webhook
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.engine import desk, rescuer
from tests.support.shop import Shop, status
from tests.support.worker import work
from worker.engine import webhooks

PRIVATE = {"WORKER_ALLOW_PRIVATE_ADDRESSES": "true"}


@pytest.fixture
def receiver() -> Iterator[Shop]:
    with Shop() as shop:
        shop.routes["/hook"] = status(204)
        yield shop


def ended(redis: redis_py.Redis, webhook: Webhook, task: Callable[..., Any] = tasks.add, **environ: str) -> list[str]:
    """Run a job with a webhook; returns what the log says of webhooks."""
    args = (1, 1) if task is tasks.add else ()
    job = Queue("default", connection=redis).enqueue(task, *args, webhooks=[webhook])
    with capture_logs() as logs:
        work(redis, **environ)
    assert job.get_status() == webhook.job_status, "how its webhook fares does not matter to the job"
    assert redis.keys("rq:execution:*") == []
    return [line["error"] for line in logs if line["event"] == "job.webhook_failed"]


@pytest.mark.parametrize("how", ["finished", "failed"])
def test_an_end_is_told_as_rq_tells_it(redis: redis_py.Redis, receiver: Shop, how: str) -> None:
    webhook = Webhook(receiver.url("/hook"), how, method="POST", headers={"X-Key": "1"})  # type: ignore[arg-type]
    assert ended(redis, webhook, tasks.add if how == "finished" else tasks.boom, **PRIVATE) == []
    (request,) = receiver.requests
    told = json.loads(request.body)
    assert (request.method, request.headers["x-key"], told["status"]) == ("POST", "1", how)
    assert ("boom" in str(told.get("exc_info"))) is (how == "failed")


def test_private_addresses_are_refused(redis: redis_py.Redis, receiver: Shop) -> None:
    (error,) = ended(redis, Webhook(receiver.url("/hook"), "finished", headers={"Metadata-Flavor": "Google"}))
    assert "cannot be reached from here" in error
    assert receiver.requests == []


def test_those_of_a_job_that_may_not_run_are_guarded_too(redis: redis_py.Redis, receiver: Shop) -> None:
    queue = Queue("default", connection=redis)
    queue.enqueue("os.getcwd", webhooks=[Webhook(receiver.url("/hook"), "failed")])
    work(redis)
    job = queue.enqueue(tasks.add, 1, 1, webhooks=[Webhook(receiver.url("/hook"), "failed")])
    redis.hset(job.key, "crashes", 2)
    desk(redis, "dead").settle_and_claim([], 1)
    assert rescuer(redis).rescue_orphans() == 1
    work(redis)
    assert job.get_status() == "failed"
    assert receiver.requests == []


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(redis: redis_py.Redis, receiver: Shop, code: int) -> None:
    receiver.routes["/hook"] = status(code, Location="/elsewhere")
    receiver.routes["/elsewhere"] = status(200)
    assert ended(redis, Webhook(receiver.url("/hook"), "finished"), **PRIVATE) == [
        f"ConnectionError: it answered {code}; redirects are not followed"
    ]
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_a_silent_receiver_costs_no_more_than_the_time_limit(
    redis: redis_py.Redis, receiver: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_SECONDS", 0.2)
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        """Say something now and then, so that no single read times out."""
        while not over.wait(0.05):
            handler.wfile.write(b"HTTP/1.1 200 O" if handler.wfile.closed else b"H")

    receiver.routes["/hook"] = drip
    (error,) = ended(redis, Webhook(receiver.url("/hook"), "finished", timeout=3600), **PRIVATE)
    over.set()
    assert "time limit" in error or "failed" in error


def test_a_list_of_sites_holds_for_them(redis: redis_py.Redis, receiver: Shop) -> None:
    webhook = Webhook(receiver.url("/hook"), "finished")
    (error,) = ended(redis, webhook, WORKER_CALLBACK_ORIGINS="https://me.example", **PRIVATE)
    assert "WORKER_CALLBACK_ORIGINS" in error
    assert receiver.requests == []
    assert ended(redis, webhook, WORKER_CALLBACK_ORIGINS=receiver.url(""), **PRIVATE) == []
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "headers", [{"X": "1\r\nX-Evil: 1"}, {"X\r\nY": "1"}, {"Content-Length": "5"}, {"Host": "a.example"}, {"X": 1}]
)
def test_headers_say_nothing_about_the_connection(redis: redis_py.Redis, receiver: Shop, headers: Any) -> None:
    webhook = Webhook(receiver.url("/hook"), "finished", method="POST", headers=headers)
    ended(redis, webhook, **PRIVATE)
    for request in receiver.requests:
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert len(request.body) == int(request.headers["content-length"]) > 20
        assert "x-evil" not in request.headers


def test_what_is_logged_names_no_path(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(
        tasks.add, 1, 1, webhooks=[Webhook("http://10.0.0.1/hook/T0K3N?key=1", "finished")]
    )
    with capture_logs() as logs:
        work(redis)
    assert job.get_status() == "finished"
    assert "T0K3N" not in str(logs)
    assert [line["site"] for line in logs if line["event"] == "job.webhook_failed"] == ["http://10.0.0.1"]
