"""The health endpoint of the real service, asked over real HTTP, by well-behaved and by hostile clients."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until


@pytest.fixture(scope="module")
def probed() -> Iterator[tuple[Service, int, RedisServer]]:
    port = free_port()
    with (
        RedisServer(password="hunter2") as server,
        Service(server.url, HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1", RENDER_GIT_COMMIT="3f2a9c1") as service,
    ):
        until(lambda: ask(port, "/readyz")[0] == 200, service=service)
        yield service, port, server


@pytest.fixture
def port(probed: tuple[Service, int, RedisServer]) -> int:
    return probed[1]


def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except OSError:
        return 0, {}, b""
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_each_question_is_answered_with_a_word_and_a_sentence(port: int, path: str) -> None:
    status, headers, body = ask(port, path)
    told: dict[str, Any] = json.loads(body)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert told["status"] == "ok"
    assert told["reason"].endswith(".")
    assert told["consumers"]["living"] == 2
    assert told["redis"]["state"] == "connected"


def test_no_body_holds_a_host_a_url_or_a_secret(probed: tuple[Service, int, RedisServer]) -> None:
    _, port, server = probed
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/nowhere"):
        body = ask(port, path)[2]
        for secret in (b"hunter2", str(server.port).encode(), b"127.0.0.1", b"redis://"):
            assert secret not in body, path


def test_head_other_paths_and_other_methods(port: int) -> None:
    status, headers, body = ask(port, "/healthz", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0
    assert ask(port, "/nowhere")[0] == 404
    assert json.loads(ask(port, "/")[2])["status"] == "not_found"
    status, headers, _ = ask(port, "/healthz", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_metrics_are_prometheus_text_and_count_jobs(probed: tuple[Service, int, RedisServer]) -> None:
    service, port, server = probed

    def values() -> dict[str, float]:
        text = ask(port, "/metrics")[2].decode()
        return {
            family.name: sum(sample.value for sample in family.samples if not sample.name.endswith("_created"))
            for family in text_string_to_metric_families(text)
        }

    before = values()
    finished = next(name for name in before if name.endswith("finished"))
    failed = next(name for name in before if name.endswith("failed"))
    with server.client() as redis:
        queue = Queue("default", connection=redis)
        for _ in range(3):
            queue.enqueue(tasks.add, 1, 1)
        queue.enqueue(tasks.boom)
    until(lambda: values()[finished] == before[finished] + 3, service=service)
    until(lambda: values()[failed] == before[failed] + 1, service=service)


def test_clients_that_send_nothing_or_one_byte_at_a_time_do_not_keep_a_probe_out(port: int) -> None:
    slow = []
    try:
        for index in range(300):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            if index % 2:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            slow.append(connection)
        assert ask(port, "/healthz")[0] == 200
    finally:
        for connection in slow:
            connection.close()


def test_two_hundred_probes_at_once_are_all_answered(port: int) -> None:
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: ask(port, "/livez")[0], range(200)))
    assert statuses == [200] * 200
