"""What follows on a job's end, however slow, holds up no other job, and a stop waits for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from rq import Queue
from rq.job import Job
from rq.webhook import Webhook

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.shop import Shop, status
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


@pytest.fixture
def receiver(gate: threading.Event) -> Iterator[Shop]:
    """A receiver that answers nobody before the gate is open."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        gate.wait(PATIENCE_SECONDS)
        status(204)(handler)

    with Shop() as shop:
        shop.routes["/hook"] = answer
        yield shop


def one_consumer(server: RedisServer, **environ: str) -> Service:
    common = {"WORKER_PROCESSES": "1", "WORKER_QUEUES": "default", "WORKER_ALLOW_PRIVATE_ADDRESSES": "true"}
    return Service(server.url, **common | environ)


def waits_for_errands(service: Service, count: int) -> bool:
    """Whether the consumer says, when it is asked, that it has so many and claims nothing any more."""
    service.signal(signal.SIGUSR1)
    return bool(service.of("child.state", state="draining", errands=count))


def are(status_of_all: str, jobs: list[Job]) -> bool:
    return all(job.get_status() == status_of_all for job in jobs)


@pytest.mark.parametrize("threads", ["1", "16"])
def test_slow_webhooks_hold_up_no_other_job_and_a_stop_waits_for_them(
    server: RedisServer, queue: Queue, receiver: Shop, gate: threading.Event, threads: str
) -> None:
    ends = [(tasks.add, (1, 1), "finished"), (tasks.boom, (), "failed")]
    told = [
        queue.enqueue(task, *args, webhooks=[Webhook(receiver.url("/hook"), how)])  # type: ignore[arg-type]
        for task, args, how in ends * 2
    ]
    others = [queue.enqueue(tasks.add, 1, 1) for _ in range(40)]
    with one_consumer(server, WORKER_THREADS=threads, WORKER_SHUTDOWN_GRACE="60") as service:
        until(lambda: are("finished", others), service=service)
        until(lambda: len(receiver.requests) == 4, service=service)
        assert [job.get_status() for job in told] == ["finished", "failed"] * 2
        service.signal(signal.SIGTERM)
        until(lambda: waits_for_errands(service, 4), service=service)
        gate.set()
        assert service.wait() == 0
        assert service.of("job.webhook_failed") == service.of("errands.left_behind") == []


def test_what_a_stop_cannot_wait_for_is_told(server: RedisServer, queue: Queue, receiver: Shop) -> None:
    job = queue.enqueue(tasks.add, 1, 1, webhooks=[Webhook(receiver.url("/hook"), "finished")])
    with one_consumer(server, WORKER_SHUTDOWN_GRACE="1") as service:
        until(lambda: receiver.requests, service=service)
        assert service.terminate() == 0
        assert [line["errands"] for line in service.of("errands.left_behind")] == [1]
    assert job.get_status() == "finished"
