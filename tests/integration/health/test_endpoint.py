"""The health endpoint of the real service, asked over real HTTP, by well-behaved and by hostile clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS
from worker.health import endpoint
from worker.health import server as probe_server
from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState, State


@pytest.fixture(scope="module")
def probed() -> Iterator[tuple[Service, int, RedisServer]]:
    port = free_port()
    with (
        RedisServer(password="hunter2") as server,
        Service(server.url, HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1", RENDER_GIT_COMMIT="3f2a9c1") as service,
    ):
        until(lambda: ask(port, "/readyz")[0] == 200, PATIENCE_SECONDS, service=service)
        yield service, port, server


@pytest.fixture
def port(probed: tuple[Service, int, RedisServer]) -> int:
    return probed[1]


def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
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
    def answers_well() -> bool:
        status, headers, body = ask(port, path)
        assert status == 200, body
        told: dict[str, Any] = json.loads(body)
        assert headers["content-type"] == "application/json"
        assert told["status"] == "ok", told
        assert told["reason"].endswith(".")
        assert told["consumers"]["living"] == 2
        assert told["redis"]["state"] == "connected"
        return True

    until(answers_well)  # a machine that stalls for seconds is told as such


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
    assert json.loads(ask(port, "/nowhere")[2])["status"] == "not_found"
    assert (ask(port, "/")[0], json.loads(ask(port, "/")[2])["status"]) == (403, "closed"), "no password is set"
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
    until(lambda: values().get(finished) == before[finished] + 3, service=service)
    until(lambda: values().get(failed) == before[failed] + 1, service=service)


def test_clients_that_send_nothing_or_one_byte_at_a_time_do_not_keep_a_probe_out(port: int) -> None:
    slow = []
    try:
        for index in range(600):  # more than the server may hold
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
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


# -- the server alone, on a scoreboard of the test's own --------------------------------------------------------------


Alone = tuple[Scoreboard, int, threading.Event, threading.Thread]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Alone]:
    monkeypatch.setattr(probe_server, "CONNECTION_SECONDS", 3600.0)  # no test here is in a hurry
    board, over = Scoreboard(max_consumers=2), threading.Event()
    board.header.started_at = board.header.heartbeat = time.monotonic()
    listener = probe_server.listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=endpoint.serve, args=(board, listener, over.is_set))
    thread.start()
    yield board, port, over, thread
    over.set()
    thread.join(30)
    assert not thread.is_alive()


def test_it_stops_at_once_while_clients_hang_on_and_frees_its_port(alone: Alone) -> None:
    _, port, over, thread = alone
    with socket.create_connection(("127.0.0.1", port), timeout=30) as idle:
        idle.sendall(b"GET /liv")
        assert ask(port, "/livez")[0] == 200
        over.set()
        thread.join(30)
        assert not thread.is_alive(), "it would wait for an hour"
    probe_server.listen("127.0.0.1", port).close()


def test_it_ticks_its_slot(alone: Alone) -> None:
    board = alone[0]
    before = board.health.heartbeat
    until(lambda: board.health.heartbeat > before)
    assert board.health.state == State.SERVING


def test_a_client_that_drips_is_cut_off_however_lively_it_looks(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_server, "CONNECTION_SECONDS", 0.5)

    def drip(client: socket.socket) -> None:
        for _ in range(1000):
            client.sendall(b"G")
            time.sleep(0.05)

    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", alone[1]), timeout=30) as client:
        with pytest.raises(OSError, match=r"reset|pipe"):
            drip(client)
    assert time.monotonic() - began > 0.4


def test_a_connection_serves_one_request(alone: Alone) -> None:
    with socket.create_connection(("127.0.0.1", alone[1]), timeout=30) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"\r\nConnection: close\r\n" in answer


def test_a_request_that_is_too_large_is_refused(alone: Alone) -> None:
    with socket.create_connection(("127.0.0.1", alone[1]), timeout=30) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
        assert client.recv(4096).split()[1] == b"431"


def test_two_hundred_open_connections_are_all_answered(alone: Alone) -> None:
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", alone[1]), timeout=30)) for _ in range(200)
        ]
        for client in clients:
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert all(client.recv(64).startswith(b"HTTP/1.0 200") for client in clients)


def test_a_port_in_use_ends_in_a_sentence_that_names_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            probe_server.HealthPortError, match=f"HEALTH_PORT {port} .*address already in use.*HEALTH_PORT to a"
        ):
            probe_server.listen("127.0.0.1", port)
    with pytest.raises(probe_server.HealthPortError, match=r"HEALTH_HOST 192\.0\.2\.1"):
        probe_server.listen("192.0.2.1", 0)


def test_metrics_tell_states_outages_restarts_and_memory(alone: Alone) -> None:
    board, port = alone[:2]
    board.header.wanted_consumers, board.header.supervisor_pid = 2, os.getpid()
    slot = board.consumers[0]
    slot.pid, slot.generation, slot.spawned_at = os.getpid(), 3, time.monotonic()
    slot.finished, slot.failed, slot.buried, slot.busy_seconds = 7, 2, 1, 1.5
    slot.begin_job("job-1", "execution-1", timeout=60)
    slot.redis_changed(RedisState.OUTAGE, "refused")
    value = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(ask(port, "/metrics")[2].decode())
        for sample in family.samples
    }
    assert value["worker_jobs_finished_total", "0"] == 7
    assert value["worker_jobs_failed_total", "0"] == 2
    assert value["worker_jobs_buried_total", "0"] == 1
    assert value["worker_busy_seconds_total", "0"] == 1.5
    assert (value["worker_consumers_wanted",], value["worker_consumers_living",]) == (2, 1)
    assert (value["worker_consumers", "busy"], value["worker_consumers", "waiting"]) == (1, 0)
    assert value["worker_redis_connected", "consumer-0"] == 0
    assert value["worker_redis_outage_seconds", "refused"] > 0 == value["worker_redis_outage_seconds", "unknown"]
    assert value["worker_child_restarts_total", "consumer-0"] == 2
    assert value["worker_resident_memory_bytes", "supervisor"] > 10**6
    assert value["worker_proportional_memory_bytes", "consumer-0"] > 10**6
    assert (
        value["worker_proportional_memory_bytes", "consumer-0"] <= value["worker_resident_memory_bytes", "consumer-0"]
    )
    assert value["worker_job_running_seconds", "0"] < 60
    assert (value["worker_live",], value["worker_ready",], value["worker_healthy",]) == (1, 0, 0)


def test_a_scraper_that_prefers_open_metrics_gets_it(alone: Alone) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{alone[1]}/metrics")
    request.add_header("Accept", "application/openmetrics-text; version=1.0.0")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")
