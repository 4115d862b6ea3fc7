"""The console over real HTTP, on a real Redis: who is let in, what every answer carries, what trouble looks like."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.console import VIEW_PASSWORD, Client, serving
from tests.support.letters import seed
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS, eventually
from worker.console.routes import ROUTES


def test_nothing_is_shown_to_strangers_and_every_answer_is_guarded(console: Client) -> None:
    for route in ROUTES:
        for method in ("GET", "HEAD", "POST", "PUT"):
            answer = console.ask(method, route.path)
            assert answer.status == 401, (method, route)
            assert answer.headers["www-authenticate"].startswith("Basic ")
    assert console.get("/static/console.css", user="").status == 401
    for answer in (
        console.get("/"),
        console.get("/", user=""),
        console.get("/nowhere"),
        console.get("/static/console.js"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert console.get("/").headers["cache-control"] == "no-store"
    assert console.get("/nowhere").status == 404


def test_a_viewer_is_refused_on_every_route_that_acts_and_a_strangers_page_on_all_of_them(console: Client) -> None:
    acting = [route.path for route in ROUTES if route.acts]
    for path in acting:
        refused = console.post(path, {}, user="viewer")
        assert refused.status == 403, path
        assert "Log in as operator" in refused.body
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "https://a.example"}):
            body = console.ask("POST", path, "operator", "", **headers)
            assert body.status == 403, (path, headers)
        assert console.get(path).status in (404, 405), f"{path} acts by GET"
    for route in ROUTES:
        if not route.acts and not route.path.endswith("/"):
            assert console.get(route.path, user="viewer").status == 200, route


def test_a_viewer_finds_no_button_that_acts(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 3)
    job = Queue("reports", connection=redis).enqueue(tasks.add, 1, 2)
    console.post("/do/pause", {"queue": "reports"})

    def buttons(path: str, user: str) -> list[str]:
        forms = re.findall(r'<form[^>]* method="post".*?</form>', console.get(path, user=user).body, re.DOTALL)
        return [tag for form in forms for tag in re.findall(r"<button[^>]*>", form) if " disabled" not in tag]

    shown = [route.path for route in ROUTES if not route.acts and not route.path.endswith("/")]
    for path in ("/", *shown, "/jobs/letter-1?show=edit", f"/jobs/{job.id}"):
        assert buttons(path, "viewer") == [], path
    assert len(buttons("/queues", "operator")) > 2


def test_pages_are_data_as_well(console: Client, redis: redis_py.Redis) -> None:
    for _ in range(3):
        Queue("reports", connection=redis).enqueue(tasks.add, 1, 2)
    queues = console.data("/queues")["queues"]
    assert {queue["name"]: queue["waiting"] for queue in queues} == {"default": 0, "reports": 3}
    now = console.data("/")
    assert now["verdict"]["level"] == "bad"
    sentences = [item["sentence"] for item in now["verdict"]["items"]]
    assert "No consumer is alive." in sentences
    assert "3 jobs wait on 'reports' and no consumer reads it." in sentences
    page = console.get("/").body
    assert all(sentence.replace("'", "&#39;") in page for sentence in sentences)


def test_it_shows_what_it_last_knew_while_redis_is_away(own_server: RedisServer) -> None:
    with serving(own_server.url) as console:
        Queue("reports", connection=own_server.client()).enqueue(tasks.add, 1, 2)
        assert console.data("/queues")["queues"][1]["waiting"] == 1
        own_server.kill()

        def away() -> dict[str, object] | None:
            data: dict[str, object] = console.data("/queues")
            return data if data["trouble"] else None

        data = eventually(away, PATIENCE_SECONDS)
        assert "refuses the connection" in str(data["trouble"])
        assert data["queues"][1]["waiting"] == 1
        page = console.get("/queues").body
        assert "What you see is" in page
        assert "127.0.0.1" not in str(data)
        assert console.data("/")["verdict"]["items"][0]["sentence"].startswith(
            "Redis does not answer the console. What"
        )
        own_server.restart(keep_data=True)
        eventually(lambda: not console.data("/queues")["trouble"], PATIENCE_SECONDS)


def test_nothing_is_asked_of_redis_while_nobody_looks(server: RedisServer, redis: redis_py.Redis) -> None:
    def asked_while(act: Callable[[], object]) -> int:
        before = redis.info("stats")["total_commands_processed"]
        act()
        return int(redis.info("stats")["total_commands_processed"] - before - 1)

    seed(redis, 300, kinds=3)
    Queue("reports", connection=redis).enqueue(tasks.add, 1, 2)
    with serving(server.url) as console:
        assert asked_while(lambda: (console.get("/livez", user=""), time.sleep(1))) == 0
        for route in ROUTES:
            if not route.acts and not route.path.endswith("/"):
                assert console.get(route.path).status == 200, route
        eventually(lambda: asked_while(lambda: time.sleep(1)) == 0, PATIENCE_SECONDS)
        assert asked_while(lambda: time.sleep(3)) == 0


def test_a_prefix_is_taken_off_and_put_before_every_link(server: RedisServer) -> None:
    with serving(server.url, MONITOR_PREFIX="/ops/worker/") as console:
        for path in ("/ops/worker/", "/ops/worker", "/"):
            page = console.get(path)
            assert page.status == 200
            assert 'href="/ops/worker/queues"' in page.body
            assert 'href="/queues"' not in page.body
        assert console.get("/ops/worker/queues").status == 200
        assert console.get("/ops/workers").status == 404


def test_names_and_values_of_strangers_never_become_markup(console: Client, redis: redis_py.Redis) -> None:
    name = "<script>alert(1)</script>\u202e\x1b[31m"
    Queue("x" + name.replace(" ", ""), connection=redis).enqueue(tasks.add, 1, 2)
    redis.sadd("rq:workers", f"rq:worker:{name}")
    redis.hset(
        f"rq:worker:{name}", mapping={"queues": f"default,{name}", "state": name, "hostname": name, "version": name}
    )
    for path in ("/", "/queues"):
        body = console.get(path).body
        assert "<script>alert" not in body
        assert "\x1b" not in body
        assert "\u202e" not in body
        assert "&lt;script&gt;alert" in body, path


def test_probes_do_not_wait_for_pages_that_wait_for_a_frozen_redis(own_server: RedisServer) -> None:
    with serving(own_server.url) as console:
        assert console.get("/").status == 200
        own_server.freeze()
        browsers = [threading.Thread(target=console.get, args=(f"/?{number}",)) for number in range(20)]
        for browser in browsers:
            browser.start()
        took = []
        for _ in range(100):
            began = time.perf_counter()
            assert console.get("/livez", user="").status == 200
            took.append(time.perf_counter() - began)
        own_server.thaw()
        for browser in browsers:
            browser.join()
    assert statistics.median(took) < 1.0, "a page waits for five seconds"


def test_a_browser_gets_pages_packed(console: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=60)
    plain = console.get("/queues")
    login = base64.b64encode(f"viewer:{VIEW_PASSWORD}".encode()).decode()
    connection.request("GET", "/queues", headers={"Accept-Encoding": "gzip, br", "Authorization": f"Basic {login}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < len(plain.body) / 2
    assert b"<h1>Queues</h1>" in gzip.decompress(body)


def test_odd_requests_are_answered_in_a_sentence(console: Client) -> None:
    assert console.get("/?" + "&".join(f"a{n}=1" for n in range(300))).status == 400
    assert console.get("/%ff%fe").status == 404
    assert console.get("/static/../app.py").status == 404
    assert console.ask("DELETE", "/", "operator").status == 405
    assert console.ask("POST", "/", "operator", "a=1", **{"Sec-Fetch-Site": "same-origin"}).status == 405
    assert console.ask("HEAD", "/", "operator").body == ""
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert b"413" in raw.recv(1000)


def test_the_monitor_and_the_service_serve_it_and_both_are_closed_without_a_password(server: RedisServer) -> None:
    for command in ("monitor", "run"):
        port = free_port()
        environ = {"HEALTH_PORT": str(port), "HEALTH_HOST": "127.0.0.1", "WORKER_QUEUES": "default"}
        with Service(server.url, command, **environ) as closed:
            client = Client(port, None)  # type: ignore[arg-type]
            until(lambda client=client: _status(client, "/livez") == 200, PATIENCE_SECONDS, service=closed)
            page = client.get("/", user="")
            assert page.status == 403
            assert "set MONITOR_PASSWORD" in page.body
            assert "default" not in page.body
            assert client.get("/queues").status == 404
        with Service(server.url, command, **environ, MONITOR_PASSWORD="only-for-operators") as opened:
            until(lambda client=client: _status(client, "/livez") == 200, PATIENCE_SECONDS, service=opened)
            until(lambda client=client: client.data("/queues")["queues"], PATIENCE_SECONDS, service=opened)
            assert client.get("/", user="viewer").status == 401
            assert client.get("/", user="").status == 401
            assert client.get("/readyz", user="").status in (200, 503)


def _status(client: Client, path: str) -> int:
    try:
        return client.get(path, user="").status
    except OSError:
        return 0
