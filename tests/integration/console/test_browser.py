"""The console in a real browser: every page in both themes and at every width, by keyboard, without JavaScript."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import redis as redis_py
from playwright.sync_api import Browser, expect
from rq import Queue

from tests.support import tasks
from tests.support.browser import Inspector, page
from tests.support.console import PASSWORD, Client, serving
from tests.support.letters import bury, ids, seed
from tests.support.server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually
from worker.console.routes import ROUTES

OPERATOR = ("operator", PASSWORD)
#: A script, a closing tag, an escape sequence, right-to-left with an override, a quote, and very many characters.
HOSTILE = "<script>alert(1)</script></title><img src=x onerror=alert(2)>\x1b[31m\u202egnp.\u05d0\u05d1\"'" + "x" * 300


def pages() -> list[str]:
    """Return every page that has a path of its own."""
    return [route.path for route in ROUTES if not route.acts and not route.path.endswith("/")] + ["/"]


def disaster(redis: redis_py.Redis) -> str:
    """Make jobs, queues, letters and workers whose every field is hostile; returns the id of one job."""
    job = bury(redis, tasks.boom, HOSTILE)
    seed(redis, 9, kinds=3, step_seconds=60)
    name = HOSTILE.replace(" ", "").replace(",", "")
    queue = Queue(name, connection=redis, serializer="json")
    for number in range(3):
        queue.enqueue(tasks.add, HOSTILE, number, description=HOSTILE, meta={HOSTILE: HOSTILE})
    redis.rpush("rq:queue:default", HOSTILE)
    fields = ("status", "origin", "description", "worker_name", "last_error", "started_at", "enqueued_at", "ended_at")
    redis.hset(f"rq:job:{HOSTILE}", mapping={**dict.fromkeys(fields, HOSTILE), "data": HOSTILE, "created_at": "now"})
    redis.hset("rq:job:letter-7", "dead_letter", json.dumps(dict.fromkeys(("reason", "function", "message"), HOSTILE)))
    redis.hset("rq:job:letter-8", "description", "y" * 10_000_000)
    redis.zadd("rq:scheduled:default", {HOSTILE: 4e9})
    redis.sadd("rq:workers", f"rq:worker:{name}")
    worker = dict.fromkeys(("state", "hostname", "release", "version", "pid", "memory_mb"), HOSTILE)
    redis.hset(f"rq:worker:{name}", mapping={**worker, "queues": f"default,{name}", "last_heartbeat": HOSTILE})
    redis.sadd(f"rq:worker:{name}:executions", f"{HOSTILE}:1")
    minute = int(redis.time()[0]) // 60
    for number in (minute, minute - 3, minute - 4):
        redis.hset(f"rq:history:60:{number}", HOSTILE, "p=3 f=1 r7=2 r30=1 w39=3 <script>")
    redis.hset(f"rq:history:60:{minute}", mapping={"a.b": "x" * 10_000, "c.d": "", "p": "p=1"})
    redis.hset("rq:history:releases", mapping={HOSTILE: f"{60 * minute - 90} {60 * minute}", "odd": "then"})
    redis.set(f"rq:history:60:{minute - 9}", HOSTILE)
    line = {"func_name": HOSTILE, "name": HOSTILE, "queue_name": HOSTILE, "cron": HOSTILE, "next_enqueue_time": HOSTILE}
    redis.hset("rq:cron_scheduler:worker", "cron_jobs", json.dumps([line]))
    redis.xadd("rq:dead-letter:audit", dict.fromkeys(("who", "action", "note", "run", "count", "ids"), HOSTILE))
    return str(job.id)


def test_every_page_is_accessible_in_both_themes_at_every_width_and_lets_nothing_run(
    server: RedisServer, redis: redis_py.Redis, browser: Browser
) -> None:
    inspector = Inspector()
    with serving(server.url, MONITOR_PREFIX="/ops") as console, page(browser, login=OPERATOR) as opened:
        for path in ("/", "/dead"):  # with nothing
            opened.goto(f"{console.url}{path}")
            assert inspector.look(opened) == [], path
        job = disaster(redis)
        eventually(lambda: len(console.data("/queues")["queues"]) > 1, what="that it knows of the other queue")
        odd = (
            f"/functions?function={quote(HOSTILE)}",
            "/functions?since=72h",
            f"/jobs/{job}?show=edit",
            "/jobs/letter-7",
            "/jobs/letter-8",
            f"/jobs/?id={quote(HOSTILE)}",
        )
        for path in (*pages(), *odd):
            answer = opened.goto(f"{console.url}{path}")
            assert answer is not None
            assert answer.status == 200, path
            assert inspector.look(opened) == [], path
            assert opened.evaluate("document.querySelectorAll('main img, main script, [style]').length") == 0, path
            text = opened.inner_text("body")
            assert "\u202e" not in text
            assert "\x1b" not in text


def test_a_page_renews_itself_but_not_under_the_hands_of_who_types(
    console: Client, redis: redis_py.Redis, browser: Browser
) -> None:
    queue = Queue("reports", connection=redis)
    with page(browser, login=OPERATOR) as opened:
        opened.clock.install()

        def renew() -> None:
            """Let five seconds pass for the page, and wait for what it asks for then."""
            with opened.expect_response(lambda answer: answer.request.resource_type == "fetch"):
                opened.clock.run_for(5000)

        def renewed(cell: str) -> bool:
            renew()
            return opened.locator("#reports td").first.inner_text() == cell

        opened.goto(f"{console.url}/dead")
        opened.get_by_label("Function", exact=True).fill("shop.")
        queue.enqueue(tasks.add, 1, 2)
        seed(redis, 3)
        eventually(lambda: renew() or opened.get_by_role("heading", name="1 cause").count(), PATIENCE_SECONDS)
        expect(opened.get_by_label("Function", exact=True)).to_have_value("shop.")
        opened.goto(f"{console.url}/queues")
        eventually(lambda: renewed("1"), PATIENCE_SECONDS)
        opened.get_by_text("Pause… reports").click()
        queue.enqueue(tasks.add, 1, 2)
        eventually(lambda: console.data("/queues")["queues"][1]["waiting"] == 2, PATIENCE_SECONDS)
        assert renewed("1"), "what is open stays"
        assert renewed("1")
        opened.get_by_text("Pause… reports").click()
        opened.locator("h1").click()
        eventually(lambda: renewed("2"), PATIENCE_SECONDS)
        asked = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
        opened.clock.run_for(60_000)
        assert asked == [], "a tab that nobody sees rests"
        with opened.expect_response(lambda answer: answer.request.resource_type == "fetch"):
            opened.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        opened.get_by_role("button", name="Live").click()
        expect(opened.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
        asked.clear()
        opened.clock.run_for(60_000)
        assert asked == []


def test_a_strangers_page_cannot_act_in_the_browser_of_an_operator(
    console: Client, redis: redis_py.Redis, browser: Browser
) -> None:
    seed(redis, 3)
    refusals = ("Failed to load resource: the server responded with a status of 40", "Framing")
    with stranger(f"{console.url}/do/dead-discard") as url, page(browser, login=OPERATOR, allowed=refusals) as opened:
        opened.goto(f"{console.url}/dead")  # now the browser is logged in
        opened.goto(url)
        opened.get_by_role("button").click()
        expect(opened.get_by_text("Only a page of this console may do that.")).to_be_visible()
        assert len(ids(redis)) == 3
        opened.goto(f"{url}/frame")

        def refused() -> bool:
            opened.evaluate("0")  # Playwright hears of what happened while it is asked something
            return [frame.url[:13] for frame in opened.frames[1:]] == ["chrome-error:"]

        eventually(refused, what="that it is shown in no frame")


@contextmanager
def stranger(action: str) -> Iterator[str]:
    """Serve a page of another origin that posts to `action`, and one with the console in a frame."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = (
                f"<form method=post action='{action}'><input name=all value=yes><input name=sure value=yes><button>Win"
            )
            framed = f"<iframe src='{action.partition('/do')[0]}/dead'></iframe>"
            body = (framed if self.path.endswith("frame") else form).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://localhost:{served.server_port}"
        served.shutdown()
