"""The two Netlify functions in Node, from a shopper's request to the worker's verdict and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis as redis_py

from jobs import products
from tests.support import rest_faults
from tests.support.node import needs_node
from tests.support.producers import rest_environment
from tests.support.products import functions
from tests.support.products.pages import sample
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.shop import Shop, status
from tests.support.waiting import eventually
from tests.support.worker import work

pytestmark = needs_node
SECRET = "a-shared-secret"
PAGE = "https://front.example"
WORKER = {"WORKER_JOB_MODULES": "jobs", "WORKER_ALLOW_PRIVATE_ADDRESSES": "true", "NOTIFY_SECRET": "sign"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.routes["/lamp"] = sample("buy.html")
    shop.routes["/done"] = status(204)
    return shop


@pytest.fixture
def site(stub: RestStub, shop: Shop) -> Iterator[httpx.Client]:
    environ = {
        **rest_environment(stub),
        "WORTHIT_SHARED_SECRET": SECRET,
        "WORTHIT_RATE_LIMIT": "5",
        "WORTHIT_ALLOWED_ORIGINS": f"https://other.example, {PAGE}",
        "WORTHIT_CALLBACK_ORIGINS": shop.url(""),
    }
    headers = {"Authorization": f"Bearer {SECRET}"}
    with functions.site(environ) as url, httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        yield client


def analyze(site: httpx.Client, url: Any, **more: Any) -> httpx.Response:
    return site.post("/api/analyze", json={"url": url, **more})


def test_from_a_request_to_the_verdict_through_the_whole_service(
    server: RedisServer, stub: RestStub, site: httpx.Client, shop: Shop
) -> None:
    environ = {"WORKER_QUEUES": "default", **WORKER}
    with Service(server.url, **environ) as service:
        service.wait_for("child.spawned", role="consumer")
        asked = analyze(site, shop.url("/lamp?utm_source=mail#top"))
        assert (asked.status_code, asked.headers["retry-after"]) == (202, "1")
        assert (stub.requests, dict(stub.commands)) == (1, {"EVAL": 1})
        address = asked.headers["location"]
        assert asked.json()["status_url"] == address

        def ended() -> dict[str, Any] | None:
            told: dict[str, Any] = site.get(address).raise_for_status().json()
            return told if told["ended"] else None

        told = eventually(ended, what="the analysis")
        assert (told["status"], told["percent"], told["error"]) == ("finished", 100, None)
        assert (told["verdict"]["verdict"], told["verdict"]["score"]) == ("buy", 92)
        assert service.terminate() == 0
    requests = stub.requests
    known = analyze(site, shop.url("/lamp"))
    assert (known.status_code, known.json()["stale"], known.json()["job"]) == (200, False, None)
    assert known.json()["verdict"]["name"] == "Aurora 3 desk lamp"
    assert stub.requests == requests + 1
    assert len([request for request in shop.requests if request.path == "/lamp"]) == 1


def test_two_links_to_one_page_share_one_job(site: httpx.Client, redis: redis_py.Redis, shop: Shop) -> None:
    one = analyze(site, shop.url("/lamp?gclid=1")).json()["job"]
    two = analyze(site, shop.url("/lamp#reviews")).json()["job"]
    assert one == two
    assert redis.lrange("rq:queue:default", 0, -1) == [one["id"].encode()]


def test_a_stale_verdict_is_answered_and_refreshed_in_the_background(
    site: httpx.Client, redis: redis_py.Redis, shop: Shop
) -> None:
    analyze(site, shop.url("/lamp"))
    work(redis, **WORKER)
    key = f"rq:cache:{products.cache_key(shop.url('/lamp'))}"
    kept = json.loads(redis.get(key))
    redis.set(
        key,
        json.dumps(kept | {"analyzed_at": "2026-01-01T00:00:00+00:00", "score": 1}),
        ex=products.KEEP_SECONDS - products.FRESH_SECONDS - 5,
    )
    # The last run ended a moment ago, so it is not run again at once; a minute later it is.
    (job,) = redis.keys("rq:job:*")
    redis.hset(job, "ended_at", "2026-01-01T00:00:00.000000Z")
    answer = analyze(site, shop.url("/lamp"))
    assert (answer.status_code, answer.json()["stale"]) == (200, True)
    assert answer.json()["verdict"]["score"] == 1
    assert answer.json()["job"]["status"] == "queued"
    work(redis, **WORKER)
    assert len([request for request in shop.requests if request.path == "/lamp"]) == 2
    again = analyze(site, shop.url("/lamp")).json()
    assert (again["stale"], again["job"], again["verdict"]["score"]) == (False, None, 92)


def test_a_page_that_is_no_product_is_told_in_words_and_tried_again_later(
    site: httpx.Client, redis: redis_py.Redis, shop: Shop
) -> None:
    shop.routes["/gone"] = status(404)
    job = analyze(site, shop.url("/gone")).json()["job"]
    work(redis, **WORKER)
    told = site.get("/api/status", params={"id": job["id"]}).json()
    assert (told["status"], told["ended"], told["verdict"]) == ("failed", True, None)
    assert told["error"]["code"] == "permanent"
    assert "404" in told["error"]["message"]
    assert analyze(site, shop.url("/gone")).json()["job"] == {"id": job["id"], "status": "failed"}
    redis.hset(f"rq:job:{job['id']}", "ended_at", "2026-01-01T00:00:00.000000Z")
    shop.routes["/gone"] = sample("buy.html")
    assert analyze(site, shop.url("/gone")).json()["job"] == {"id": job["id"], "status": "queued"}
    work(redis, **WORKER)
    assert site.get("/api/status", params={"id": job["id"]}).json()["verdict"]["verdict"] == "buy"
    assert redis.llen("rq:queue:dead-letter") == 0


def test_what_other_jobs_return_is_not_told(site: httpx.Client, redis: redis_py.Redis) -> None:
    for job_id in ("some-job", "analyze_product-", "", "analyze_product-" + "0" * 31, "../x"):
        response = site.get("/api/status", params={"id": job_id})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_id")
    response = site.get("/api/status", params={"id": "analyze_product-" + "0" * 32})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_such_job")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 400, "must be a JSON object"),
        (b"[]", 400, "must be a JSON object"),
        (b"null", 400, "must be a JSON object"),
        (b"{}", 400, "must be text"),
        (b'{"url": 5}', 400, "must be text"),
        (b'{"url": "shop.example"}', 400, "not an absolute http or https URL"),
        (b'{"url": "https://x.example/", "admin": 1}', 400, "nothing else"),
        (b'{"url": "https://x.example/", "callback_url": "https://evil.example/"}', 400, "WORTHIT_CALLBACK_ORIGINS"),
        (b'{"url": "' + b"x" * 20000 + b'"}', 413, "16384"),
    ],
)
def test_bad_input_ends_in_a_sentence(site: httpx.Client, stub: RestStub, content: bytes, code: int, said: str) -> None:
    response = site.post("/api/analyze", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == code
    assert said in response.json()["error"]["message"]
    assert stub.requests == 0


def test_methods_and_types_are_checked(site: httpx.Client) -> None:
    assert site.get("/api/analyze").status_code == 405
    assert site.get("/api/analyze").headers["allow"] == "POST, OPTIONS"
    assert site.post("/api/status").status_code == 405
    assert site.post("/api/analyze", content=b'{"url": "https://x.example/"}').status_code == 415


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer", f"Basic {SECRET}"])
def test_without_the_secret_nothing_is_done(site: httpx.Client, stub: RestStub, given: str | None) -> None:
    del site.headers["Authorization"]
    headers = {} if given is None else {"Authorization": given}
    for response in (
        site.post("/api/analyze", json={"url": "https://x.example/"}, headers=headers),
        site.get("/api/status?id=x", headers=headers),
    ):
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert response.json()["error"]["code"] == "unauthorized"
    assert stub.requests == 0


def test_pages_that_may_call_are_told_so_and_others_are_not(site: httpx.Client) -> None:
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    response = site.options("/api/analyze", headers=preflight)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert site.get("/api/status", headers={"Origin": PAGE}).headers["access-control-allow-origin"] == PAGE
    for origin in ("https://evil.example", "null", PAGE + ".evil.example"):
        response = site.options("/api/analyze", headers={**preflight, "Origin": origin})
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin"


def test_who_asks_too_often_waits_and_others_do_not(site: httpx.Client, stub: RestStub, redis: redis_py.Redis) -> None:
    codes = [analyze(site, f"https://x.example/{n}").status_code for n in range(7)]
    assert codes == [202] * 5 + [429] * 2
    refused = analyze(site, "https://x.example/8")
    assert refused.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    other = site.post("/api/analyze", json={"url": "https://x.example/9"}, headers={"X-Test-Ip": "192.0.2.2"})
    assert other.status_code == 202
    assert redis.llen("rq:queue:default") == 6
    assert all(0 < redis.ttl(key) <= 60 for key in redis.keys("rq:rate:*"))
    assert stub.requests == 7, "Redis refused once; after that the function knows"
    assert not any(b"192.0.2" in key for key in redis.scan_iter())


def test_the_addresses_of_one_ipv6_network_are_one_caller(site: httpx.Client, stub: RestStub) -> None:
    def asked(address: str, page: int) -> int:
        headers = {"X-Test-Ip": address}
        return site.post("/api/analyze", json={"url": f"https://x.example/{page}"}, headers=headers).status_code

    assert [asked(f"2001:db8:1:2:{n:x}::{n:x}", n) for n in range(1, 7)] == [202] * 5 + [429]
    assert asked("2001:db8:1:3::1", 7) == 202
    assert stub.requests == 7


def test_who_polls_too_often_waits_and_costs_nothing(stub: RestStub, redis: redis_py.Redis) -> None:
    environ = {**rest_environment(stub), "WORTHIT_STATUS_LIMIT": "3"}
    with functions.site(environ) as url, httpx.Client(base_url=url, timeout=60) as site:
        job = analyze(site, "https://x.example/").json()["job"]["id"]
        polled = [site.get("/api/status", params={"id": job}) for _ in range(20)]
        assert [answer.status_code for answer in polled] == [200] * 3 + [429] * 17
        assert polled[0].json()["status"] == "queued"
        assert 1 <= int(polled[-1].headers["retry-after"]) <= 60
        assert analyze(site, "https://x.example/2").status_code == 202, "polling uses up no analyses"
        missing = {"id": "analyze_product-" + "0" * 32}
        assert site.get("/api/status", params=missing, headers={"X-Test-Ip": "192.0.2.2"}).status_code == 404
    assert dict(stub.commands) == {"EVAL": 2 + 4 + 1}
    assert all(0 < redis.ttl(key) <= 60 for key in redis.keys("rq:rate:*"))


def test_trouble_with_redis_is_told_without_its_insides(site: httpx.Client, stub: RestStub) -> None:
    stub.faults.append(rest_faults.answering(401, {"error": "WRONGPASS invalid or missing auth token"}))
    response = analyze(site, "https://x.example/")
    assert (response.status_code, response.json()["error"]["code"]) == (502, "refused")
    assert "UPSTASH" not in response.text
    stub.faults.extend([rest_faults.drop_answer, rest_faults.BAD_GATEWAY])
    assert analyze(site, "https://x.example/").status_code == 202


def test_a_site_without_settings_says_so_in_its_log_alone() -> None:
    with functions.site({}) as url:
        response = httpx.post(f"{url}/api/analyze", json={"url": "https://x.example/"}, timeout=60)
    assert (response.status_code, response.json()["error"]["code"]) == (500, "misconfigured")
    assert "UPSTASH" not in response.text


def test_a_cache_entry_that_is_no_json_is_the_operators_affair(
    site: httpx.Client, redis: redis_py.Redis, shop: Shop
) -> None:
    redis.set(f"rq:cache:{products.cache_key(shop.url('/lamp'))}", "{no json", ex=products.KEEP_SECONDS)
    response = analyze(site, shop.url("/lamp"))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "refused")


def test_a_callback_tells_the_verdict(site: httpx.Client, redis: redis_py.Redis, shop: Shop) -> None:
    asked = analyze(site, shop.url("/lamp"), callback_url=shop.url("/done"))
    assert asked.status_code == 202
    work(redis, **WORKER)
    (told,) = [request for request in shop.requests if request.path == "/done"]
    body = json.loads(told.body)
    assert (body["job_id"], body["status"]) == (asked.json()["job"]["id"], "finished")
    assert body["result"]["verdict"] == "buy"
    assert told.headers["webhook-signature"].startswith("t=")
