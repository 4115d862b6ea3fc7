"""The shopper's page in a real browser, against the real functions, worker and Redis."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis as redis_py
from playwright.sync_api import Browser, expect

from tests.support import node
from tests.support import shop as shops
from tests.support.browser import PATIENCE_MS, Inspector, chromium, page, tab_to
from tests.support.node import ROOT, needs_node
from tests.support.producers import rest_environment
from tests.support.products import functions
from tests.support.products.pages import sample
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.shop import Shop, status

pytestmark = [needs_node, pytest.mark.slow]
WORKER = {"WORKER_QUEUES": "default", "WORKER_JOB_MODULES": "jobs", "WORKER_ALLOW_PRIVATE_ADDRESSES": "true"}
PHONE, DESKTOP = 390, 1280
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Place:
    """A site, the shop that it is asked about, and what holds back the shop's page ``/slow.html``."""

    url: str
    shop: Shop
    go_on: threading.Event

    def check(self, path: str) -> str:
        return f"{self.url}/check?url={quote(self.shop.url(path), safe='')}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One site, worker and shop for all tests of the module."""
    go_on = threading.Event()
    with RedisServer() as server, RestStub(server.port) as stub, Shop() as shop:
        for name in ("buy", "consider", "avoid"):
            shop.routes[f"/{name}.html"] = sample(f"{name}.html")
        shop.routes["/gone"] = status(404)
        shop.routes["/hostile.html"] = shops.page(product(HOSTILE))

        def slow(handler: Any) -> None:
            assert go_on.wait(120)
            sample("buy.html")(handler)

        shop.routes["/slow.html"] = slow
        with Service(server.url, **WORKER) as service:
            service.wait_for("child.spawned", role="consumer")
            limits = {"WORTHIT_RATE_LIMIT": "10000", "WORTHIT_STATUS_LIMIT": "10000"}
            with functions.site({**rest_environment(stub), **limits}) as url:
                yield Place(url, shop, go_on)


def product(name: str) -> str:
    about = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": name,
        "offers": {"@type": "Offer", "price": 5, "priceCurrency": "EUR"},
        "review": [{"@type": "Review", "reviewBody": f"I love it, a great and lovely thing. {name}"}] * 3,
    }
    data = json.dumps(about).replace("<", "\\u003c")
    return f'<!doctype html><title>A thing</title><script type="application/ld+json">{data}</script>'


def test_from_paste_to_verdict_with_progress_and_an_address_to_share(browser: Browser, place: Place) -> None:
    place.go_on.clear()
    with page(browser, width=PHONE) as shopper:
        shopper.goto(place.url)
        expect(shopper.get_by_role("heading", level=1)).to_have_text("Is it worth its price?")
        shopper.get_by_label("Link of the product").fill(place.shop.url("/slow.html?utm_source=x"))
        pasted = time.monotonic()
        shopper.keyboard.press("Enter")
        expect(shopper.get_by_role("status")).to_have_text("Fetching the page.")
        print(f"from the link to the progress that a job told: {time.monotonic() - pasted:.2f} s")
        assert shopper.get_by_role("progressbar").evaluate("bar => bar.value") == 10
        assert Inspector((PHONE,)).look(shopper) == []
        begun = time.monotonic()
        place.go_on.set()
        expect(shopper.locator("article .word")).to_have_text("Buy")
        print(f"from the shop's answer to the verdict: {time.monotonic() - begun:.2f} s")
        assert shopper.title() == "Buy: Aurora 3 desk lamp · WorthIt!"
        expect(shopper.get_by_role("heading", level=1)).to_be_focused()
        assert shopper.url == place.check("/slow.html"), "what was asked with is not part of the address"
        shared = shopper.url
        shopper.go_back()
        expect(shopper.get_by_role("heading", level=1)).to_have_text("Is it worth its price?")
        expect(shopper.get_by_role("link", name="Aurora 3 desk lamp")).to_be_visible()
        shopper.get_by_role("button", name="Forget these").click()
        expect(shopper.get_by_role("link", name="Aurora 3 desk lamp")).to_have_count(0)
    with page(browser) as friend:
        friend.goto(shared)
        expect(friend.locator("article .word")).to_have_text("Buy")
        friend.goto(place.url)
        friend.get_by_label("Link of the product").fill(place.shop.url("/consider.html"))
        pasted = time.monotonic()
        friend.keyboard.press("Enter")
        expect(friend.locator("article .word")).to_have_text("Wait")
        print(f"from the link to the verdict: {time.monotonic() - pasted:.2f} s")


def test_verdicts_have_their_reasons_and_nothing_is_in_the_way_of_anybody(browser: Browser, place: Place) -> None:
    inspector = Inspector((PHONE, DESKTOP))
    with page(browser) as shopper:
        for path, word in (("/buy.html", "Buy"), ("/consider.html", "Wait"), ("/avoid.html", "Skip")):
            shopper.goto(place.check(path))
            card = shopper.locator("article")
            expect(card.locator(".word")).to_have_text(word)
            for part in ("Price", "Rating", "Shop", "For it", "Against it", "How sure we are", "Looked at"):
                expect(card).to_contain_text(part)
            assert card.locator(".reasons li").count() >= 4
            for link in card.get_by_role("link").all():
                assert link.get_attribute("href") == place.shop.url(path)
            assert inspector.look(shopper) == [], path
        for address, shown in ((place.url, ".hero"), (place.check("/gone"), ".trouble")):
            shopper.goto(address)
            expect(shopper.locator(shown)).to_be_visible()
            assert inspector.look(shopper) == [], address


def test_all_of_it_is_reached_by_keyboard(browser: Browser, place: Place) -> None:
    with page(browser) as shopper:
        shopper.goto(place.url)
        tab_to(shopper, "Link of the product")
        shopper.keyboard.type(place.shop.url("/consider.html"))
        tab_to(shopper, "Check")
        shopper.keyboard.press("Enter")
        expect(shopper.locator("article .word")).to_have_text("Wait")
        tab_to(shopper, "Other prices on the page")
        shopper.keyboard.press("Enter")
        expect(shopper.locator("details li").first).to_be_visible()
        tab_to(shopper, "Another product")


def test_without_javascript_the_form_leads_to_the_verdict(browser: Browser, place: Place) -> None:
    place.go_on.clear()
    with page(browser, javascript=False) as shopper:
        shopper.goto(place.url)
        shopper.get_by_label("Link of the product").fill(place.shop.url("/slow.html?plain=1"))
        shopper.get_by_role("button", name="Check").click()
        expect(shopper.get_by_role("heading", level=1)).to_contain_text("Looking at")
        place.go_on.set()
        expect(shopper.locator("article .word")).to_have_text("Buy")


def test_what_is_no_link_or_leads_nowhere_is_said_in_words(browser: Browser, place: Place) -> None:
    with page(browser, allowed=("Failed to load resource",)) as shopper:
        for given, said in (
            ("ftp://shop.example/", "The link is not an absolute http or https URL"),
            ("https://user:pass@shop.example/", "carries a user name or password"),
            ("no such link", "has a host or port that cannot be read"),
        ):
            shopper.goto(place.url)
            shopper.get_by_label("Link of the product").fill(given)
            shopper.keyboard.press("Enter")
            expect(shopper.get_by_role("alert")).to_contain_text(said)
            assert shopper.get_by_label("Link of the product").input_value() == given
    with page(browser) as shopper:
        shopper.goto(place.url)
        shopper.get_by_label("Link of the product").fill(place.shop.url("/gone"))
        shopper.keyboard.press("Enter")
        expect(shopper.get_by_role("alert")).to_contain_text("404")
        expect(shopper.get_by_role("link", name="Try again")).to_be_visible()
        # A shop's words are shown and never run.
        shopper.goto(place.check("/hostile.html"))
        expect(shopper.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        assert shopper.locator("main img, main script").count() == 0
        shopper.goto(place.url)
        expect(shopper.get_by_role("link", name=HOSTILE)).to_be_visible()
        assert shopper.locator("main img, main script").count() == 0


def test_pages_are_small_and_keep_their_rules(place: Place) -> None:
    public = ROOT / "netlify" / "public"
    assert sum(path.stat().st_size for path in public.iterdir()) <= 30_000
    assert node.printed(ROOT / "netlify" / "lib" / "page.mjs") == (public / "index.html").read_text(), "`make docs`"
    rules = httpx.get(place.check("/buy.html"), timeout=60).headers["content-security-policy"]
    assert f'"{rules}"' in (ROOT / "netlify" / "netlify.toml").read_text()
    assert httpx.get(f"{place.url}/../package.json", timeout=60).status_code == 404


def test_a_closed_or_troubled_site_says_so_on_its_page(stub: RestStub) -> None:
    from tests.support import rest_faults

    with functions.site({**rest_environment(stub), "WORTHIT_SHARED_SECRET": "s"}) as url:
        closed = httpx.get(f"{url}/check?url=https://shop.example/", timeout=60)
        assert (closed.status_code, "This page is closed" in closed.text) == (401, True)
    with functions.site({**rest_environment(stub), "WORTHIT_RATE_LIMIT": "1"}) as url:
        stub.fault = rest_faults.THROTTLED
        away = httpx.get(f"{url}/check?url=https://shop.example/", timeout=60)
        assert (away.status_code, "cannot be reached at the moment" in away.text) == (503, True)
        stub.fault = None
        assert httpx.get(f"{url}/check?url=shop.example/a", timeout=60).status_code == 202
        often = httpx.get(f"{url}/check?url=shop.example/b", timeout=60)
        assert (often.status_code, "Try again in" in often.text, "retry-after" in often.headers) == (429, True, True)


def test_each_morning_the_watched_products_are_enqueued_in_one_request(stub: RestStub, redis: redis_py.Redis) -> None:
    program = 'const run = (await import("./netlify/functions/refresh.mjs")).default; await run(); console.log("null")'
    watched = "https://shop.example/a?utm_x=1\n https://shop.example/a https://shop.example/b"
    said = node.run_module(program, {**rest_environment(stub), "WORTHIT_WATCHED": watched})
    assert said.startswith("2 of 2 products")
    assert (stub.requests, redis.llen("rq:queue:default")) == (1, 2)
    assert node.run_module(program, {**rest_environment(stub), "WORTHIT_WATCHED": watched}).startswith("0 of 2")
    assert node.run_module(program, {}).startswith("0 of 0")
