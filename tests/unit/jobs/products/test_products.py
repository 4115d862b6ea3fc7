"""The job `analyze_product`, from a shop's page to its answer."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from jobs import products
from jobs.products import analyze_product
from jobs.products.facts import Product
from jobs.products.fetching import Page
from tests.support.products.pages import sample
from tests.support.shop import Shop, page, status
from worker import context
from worker.context import OfflineContext
from worker.engine.dead_letter import fingerprint
from worker.retry import GiveUp, PermanentError, Retry, RetryLater, decide, policy_of


@pytest.fixture
def shop(shop: Shop) -> Shop:
    for name in ("buy", "consider", "avoid", "microdata", "opengraph", "broken"):
        shop.routes[f"/{name}"] = sample(f"{name}.html")
    return shop


@pytest.fixture
def job() -> Iterator[OfflineContext]:
    with context.use(OfflineContext(allow_private_addresses=True)) as ctx:
        assert isinstance(ctx, OfflineContext)
        yield ctx


RATED = "Rated 4.7 of 5 by 1,284 buyers."
READ = "4 of 5 reviews read favourable, e.g. “Great value. The cable could be longer, but I am very happy with it.”"
SCRATCH = (
    "1 of 5 reviews reads unfavourable, e.g. “Mine arrived with an ugly scratch on the base, which was disappointing.”"
)
CHEAPER = "Costs 20% less than its list price."
ORDERED = "It can be ordered now."
DIFFER = "Stars and reviews differ a little."


def test_the_answer_is_complete_and_json(shop: Shop, job: OfflineContext) -> None:
    answer = analyze_product(shop.url("/buy?utm_source=mail#reviews"))
    assert json.loads(json.dumps(answer)) == answer
    age = datetime.now(UTC) - datetime.fromisoformat(answer.pop("analyzed_at"))  # type: ignore[misc]
    assert timedelta(seconds=-1) <= age < timedelta(seconds=60)
    assert answer == {
        "url": shop.url("/buy"),
        "canonical_url": shop.url("/buy"),
        "name": "Aurora 3 desk lamp",
        "price": 79.0,
        "currency": "EUR",
        "list_price": 99.0,
        "availability": "InStock",
        "condition": "new",
        "other_prices": [],
        "rating": 4.7,
        "rating_count": 1284,
        "reviews_read": 5,
        "score": 92,
        "verdict": "buy",
        "reasons_for": [RATED, READ, CHEAPER, ORDERED],
        "reasons_against": [SCRATCH, DIFFER],
        "reasons": [
            {"text": RATED, "speaks_for": True, "points": 30.6, "confidence": 0.539},
            {"text": READ, "speaks_for": True, "points": 7.1, "confidence": 0.167},
            {"text": SCRATCH, "speaks_for": False, "points": 0.0, "confidence": 0.0},
            {"text": CHEAPER, "speaks_for": True, "points": 4.0, "confidence": 0.15},
            {"text": ORDERED, "speaks_for": True, "points": 0.0, "confidence": 0.0},
            {"text": DIFFER, "speaks_for": False, "points": 0.0, "confidence": -0.018},
        ],
        "confidence": 0.84,
        "sources": ["json-ld"],
        "grounds": {
            "product_certainty": 1.0,
            "price_certainty": 1.0,
            "product": ["heading"],
            "price": ["json-ld", "visible"],
        },
    }
    assert shop.requests[0].path == "/buy"


@pytest.mark.parametrize(
    ("name", "verdict", "sources"),
    [
        ("buy", "buy", ["json-ld"]),
        ("consider", "consider", ["json-ld"]),
        ("avoid", "avoid", ["json-ld"]),
        ("microdata", "buy", ["microdata"]),
        ("opengraph", "consider", ["opengraph"]),
    ],
)
def test_every_sample_page_gets_its_verdict(
    shop: Shop, job: OfflineContext, name: str, verdict: str, sources: list[str]
) -> None:
    answer = analyze_product(shop.url(f"/{name}"))
    assert (answer["verdict"], answer["sources"]) == (verdict, sources)


def test_what_is_not_known_is_none(shop: Shop, job: OfflineContext) -> None:
    shop.routes["/bare"] = page('<meta property="og:type" content="product"><title>Thing</title>')
    answer = analyze_product(shop.url("/bare"))
    known = {key: answer[key] for key in ("name", "price", "currency", "rating", "rating_count")}  # type: ignore[literal-required]
    assert known == {"name": "Thing", "price": None, "currency": None, "rating": None, "rating_count": None}


def test_a_page_that_is_no_products_is_permanent(shop: Shop, job: OfflineContext) -> None:
    with pytest.raises(PermanentError, match="not a product's"):
        analyze_product(shop.url("/broken"))


def test_progress_is_told_at_each_step(shop: Shop, job: OfflineContext) -> None:
    analyze_product(shop.url("/buy"))
    assert [(step["percent"], step["message"]) for step in job.reported] == [
        (10, "fetching the page"),
        (50, "reading the page"),
        (70, "judging the price, the rating and 5 reviews"),
        (100, "verdict: buy"),
    ]


def test_the_second_link_to_a_page_is_answered_from_the_cache(shop: Shop, job: OfflineContext) -> None:
    first = analyze_product(shop.url("/buy?utm_source=a-mail-to-ann#ann"))
    assert b"ann" not in (job.cache_get(products.cache_key(shop.url("/buy"))) or b"")
    job.reported.clear()
    second = analyze_product(shop.url("/buy?gclid=1#top"))
    assert len(shop.requests) == 1
    assert second == first
    assert "gclid" not in json.dumps(second)
    assert job.reported == [{"percent": 100, "message": "answered from the cache"}]


def test_a_stale_answer_is_made_anew_and_kept_for_producers(shop: Shop, job: OfflineContext) -> None:
    url = shop.url("/buy")
    key = products.cache_key(url)
    analyze_product(url)
    kept = json.loads(job.cache_get(key) or b"")
    for age, requests in ((products.FRESH_SECONDS - 120, 1), (products.FRESH_SECONDS, 2)):
        past = datetime.now(UTC) - timedelta(seconds=age)
        job.cache_set(key, json.dumps(kept | {"analyzed_at": past.isoformat(timespec="seconds")}).encode(), 1000)
        analyze_product(url)
        assert len(shop.requests) == requests
    renewed = json.loads(job.cache_get(key) or b"")
    assert renewed["analyzed_at"] >= kept["analyzed_at"]


def test_other_pages_and_other_failures_are_not_answered_from_the_cache(shop: Shop, job: OfflineContext) -> None:
    shop.routes["/lamp"] = status(503)
    with pytest.raises(RetryLater):
        analyze_product(shop.url("/lamp"))
    shop.routes["/lamp"] = sample("buy.html")
    assert analyze_product(shop.url("/lamp"))["verdict"] == "buy"
    shop.routes["/lamp"] = sample("avoid.html")
    assert analyze_product(shop.url("/lamp?color=red"))["verdict"] == "avoid"


def test_the_answer_is_the_same_in_every_process(shop: Shop, job: OfflineContext) -> None:
    """String hashing differs from process to process: nothing may depend on the order of a set."""
    program = (
        "import json, sys; from worker import context; from jobs.products import analyze_product\n"
        "with context.use(context.OfflineContext(allow_private_addresses=True)):\n"
        "    print(json.dumps([analyze_product(url) | {'analyzed_at': None} for url in sys.argv[1:]]))"
    )
    urls = [shop.url("/consider"), shop.url("/microdata")]
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, *urls],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    own = [{**analyze_product(url), "analyzed_at": None} for url in urls]
    assert answers == {json.dumps(own) + "\n"}


def test_without_the_switch_a_local_page_is_refused(shop: Shop) -> None:
    with context.use(OfflineContext()), pytest.raises(RetryLater, match="cannot be reached"):
        analyze_product(shop.url("/buy"))
    assert shop.requests == []


@pytest.mark.parametrize("url", [None, 5, "", "file:///etc/passwd", "https://u:p@x.example/"])
def test_a_wrong_argument_is_permanent(job: OfflineContext, url: str) -> None:
    with pytest.raises(PermanentError):
        analyze_product(url)


def test_its_policy_retries_trouble_of_the_shop_and_nothing_else() -> None:
    policy = policy_of(analyze_product)
    assert policy is not None
    assert decide(RetryLater("503", 30.0), 1, policy, rng=lambda: 0.5) == Retry(31.0)
    assert decide(RetryLater("503"), 5, policy) == GiveUp("attempts_exhausted")
    assert decide(PermanentError("404"), 1, policy) == GiveUp("permanent")
    assert decide(KeyError("bug"), 1, policy) == GiveUp("not_retryable")


def test_the_jobs_use_nothing_of_the_worker_but_context_retry_and_the_guarded_client() -> None:
    """Importing them must pull in neither rq nor redis, nor the environment's settings."""
    program = (
        "import sys, jobs.products, jobs.notifications\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'worker', 'rq', 'redis'}))"
    )
    printed = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(printed) == [
        "worker",
        *(f"worker.{name}" for name in ("backoff", "context", "job_log", "journal", "keys", "outbound")),
        *(f"worker.outbound.{name}" for name in ("addresses", "client", "connecting")),
        *(f"worker.{name}" for name in ("retry", "text")),
    ]


def test_threads_fetch_side_by_side_and_read_one_page_at_a_time(
    shop: Shop, job: OfflineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most = 0, 0
    read = products.read_product

    def counted(page: Page) -> tuple[Product, list[str]]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        found = read(page)
        inside -= 1
        return found

    monkeypatch.setattr(products, "read_product", counted)

    def analyze(n: int) -> str:
        with context.use(OfflineContext(allow_private_addresses=True)):
            return analyze_product(shop.url(f"/buy?n={n}"))["verdict"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(analyze, range(12))) == {"buy"}
    assert most == 1


def test_each_cause_is_a_kind_of_dead_letter_of_its_own(shop: Shop, job: OfflineContext) -> None:
    bodies = {
        "/captcha": "<title>Robot Check</title>",
        "/cookies": "<title>Before you continue</title>",
        "/shell": "<div id=root></div><script src=a.js></script>",
        "/login": "<h1>Sign in</h1><input type=password>",
        "/gone": "<h1>Page not found</h1>",
        "/article": "<h1>News</h1><p>Words.</p>",
    }
    shop.routes |= {path: page(body) for path, body in bodies.items()}
    shop.routes |= {"/403": status(403), "/404": status(404)}
    kinds = set()
    for path in [*bodies, "/403", "/404"]:
        with pytest.raises(PermanentError) as raised:
            analyze_product(shop.url(path))
        kinds.add(fingerprint("jobs.products.analyze_product", raised.value, "permanent"))
    assert len(kinds) == len(bodies) + 2
