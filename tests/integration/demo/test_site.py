"""The shopper's site as `make run` serves it."""

from __future__ import annotations

import httpx
import pytest
import redis as redis_py

from demo import site as local_site
from tests.support.node import needs_node
from tests.support.server import RedisServer


@needs_node
def test_it_serves_the_page_and_its_functions_ask_this_redis(server: RedisServer, redis: redis_py.Redis) -> None:
    with local_site.site(server.url, queue="high") as address, httpx.Client(base_url=address, timeout=60) as client:
        assert "Is it worth its price?" in client.get("/").raise_for_status().text
        assert client.get("/app.js").headers["content-type"].startswith("text/javascript")
        asked = client.get("/check", params={"url": "https://shop.example/lamp"})
        assert (asked.status_code, redis.llen("rq:queue:high")) == (202, 1)
        job = redis.lindex("rq:queue:high", 0).decode()
        assert client.get("/api/status", params={"id": job}).json()["status"] == "queued"
        assert client.get("/../package.json").status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, timeout=60)


@needs_node
def test_the_rest_api_of_this_machine_wants_its_token(server: RedisServer) -> None:
    with local_site._rest(server.url) as (rest, token):
        import threading

        threading.Thread(target=rest.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{rest.server_port}"
        ask = {"url": f"{url}/", "json": ["HGET", "a", "b"], "timeout": 60}
        assert httpx.post(**ask).status_code == 401  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(**ask, headers=headers).json() == {"result": None}  # type: ignore[arg-type]
        assert httpx.post(f"{url}/", content=b"[", headers=headers, timeout=60).status_code == 400
        wrong = httpx.post(f"{url}/", json=["HGET", "a"], headers=headers, timeout=60)
        assert (wrong.status_code, "wrong number of arguments" in wrong.json()["error"]) == (400, True)
        rest.shutdown()


def test_without_node_there_is_no_site(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_site.shutil, "which", lambda _: None)
    with local_site.site(server.url, queue="default") as address:
        assert address == ""
