"""The example of docs/lifecycle.md is a job package that works."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support.http_stub import HttpStub, QuietHandler
from tests.support.service import ROOT
from tests.support.worker import consumer

PAGE = (ROOT / "docs/lifecycle.md").read_text()

#: As much of psycopg_pool as the example uses; it is not installed here.
POOL = """
calls = []

class Connection:
    def __enter__(self): return self
    def __exit__(self, *failure): pass
    def execute(self, *statement): calls.append(statement)

class ConnectionPool:
    def __init__(self, url, *, min_size, max_size, open): calls.append((url, min_size, max_size, open))
    def wait(self, timeout): calls.append("wait")
    def connection(self): return Connection()
    def check(self): raise OSError("the connection is lost")
    def close(self): calls.append("close")
"""


def blocks() -> dict[str, str]:
    """The page's modules, by their paths."""
    return dict(re.findall(r"```python\n# (shop/\w+\.py)\n(.*?)```", PAGE, flags=re.S))


@pytest.fixture
def posted() -> Iterator[tuple[str, list[tuple[str, object]]]]:
    """A server's URL, and what was posted to it: path and body."""
    requests: list[tuple[str, object]] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            requests.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with HttpStub(Handler) as stub:
        yield f"http://127.0.0.1:{stub.port}", requests


def test_its_example_opens_uses_flushes_and_closes(
    redis: redis_py.Redis,
    queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    posted: tuple[str, list[tuple[str, object]]],
) -> None:
    url, requests = posted
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/shop")
    monkeypatch.setenv("METRICS_URL", f"{url}/metrics")
    (tmp_path / "psycopg_pool.py").write_text(POOL)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("")
    for path, text in blocks().items():
        (tmp_path / path).write_text(text.replace("https://mail.example.com", url))
    (export,) = re.findall(r"```python\n(from shop import clients\nfrom worker import context.*?)```", PAGE, flags=re.S)
    (tmp_path / "shop/exports.py").write_text(export)
    try:
        job = queue.enqueue("shop.orders.confirm", "A-7")
        consumer(redis, WORKER_JOB_MODULES="shop", WORKER_THREADS="2").work(burst=True)
        assert job.return_value() == 202
        from psycopg_pool import calls  # type: ignore[import-not-found]

        update = ("UPDATE orders SET confirmed = now() WHERE id = %s", ["A-7"])
        assert calls == [("postgresql://db/shop", 1, 2, True), "wait", update, "close"]
        assert requests == [("/", {"order": "A-7"}), ("/metrics", {"shop.orders.confirm.done": 1})]
        broken, next_one = queue.enqueue("shop.exports.export", "A-7"), queue.enqueue("shop.orders.confirm", "A-8")
        consumer(redis, WORKER_JOB_MODULES="shop").work(burst=True)
        assert broken.get_status() == "failed"
        assert next_one.get_status() == "queued", "its consumer is to be a fresh one"
        assert requests[-1] == ("/metrics", {"shop.exports.export.failed": 1})
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "psycopg_pool")]:
            del sys.modules[name]
