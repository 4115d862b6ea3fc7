"""Tell a shopper whether a product is worth buying, from its page."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict, cast

from jobs.products.facts import Product
from jobs.products.fetching import fetch_page
from jobs.products.page import read_product
from jobs.products.verdict import Judgement, Verdict, judge
from jobs.urls import canonical, checked
from worker import context
from worker.retry import RetryLater, RetryPolicy, with_policy

#: Seconds that an analysis stays fresh: prices change daily, reviews more slowly.
FRESH_SECONDS = 6 * 3600
#: Seconds that it is kept: producers answer a stale one at once, and have it refreshed in the background.
KEEP_SECONDS = 7 * 86400
#: A job makes a new one so long before the old one turns stale: producers tell by Redis's clock, jobs by their own.
MARGIN_SECONDS = 60
#: Part of the cache's keys. Raise it when an analysis comes out differently, or old ones go on being served. The
#: function in netlify/functions/analyze.mjs has it, too.
CACHE_VERSION = 4


#: One page at a time in a process, however many threads it has: a page may take a hundred megabytes for a moment, and
#: reading is the processor's work, which threads do not share.
_READING = threading.Lock()


class WeighedReason(TypedDict):
    """A reason, and what it weighs: the points add up to the score less 50, the confidences to the confidence."""

    text: str
    speaks_for: bool
    points: float
    confidence: float


class StatedPrice(TypedDict):
    """An amount that the page states, and that is not the price: `kind` is one of `jobs.products.facts.PriceKind`."""

    kind: str
    amount: float
    currency: str | None


class Grounds(TypedDict):
    """How sure the product and its price are, from 0 to 1, and by what: see docs/products.md."""

    product_certainty: float
    price_certainty: float
    product: list[str]  #: of "mainEntity", "url", "heading", "og:title", "title", "og:type"
    price: list[str]  #: of "json-ld", "microdata", "rdfa", "opengraph", "visible"


class Analysis(TypedDict):
    """The answer of `analyze_product`. Reasons are sentences that quote reviews: escape them as web text."""

    url: str  #: the same as `canonical_url`: what one asks with is not shown to the next, who gets the same answer
    canonical_url: str  #: the same for all links to one page: no fragment, no tracking parameters
    name: str
    price: float | None
    currency: str | None  #: ISO 4217
    list_price: float | None  #: without a discount, where the page states one
    availability: str | None  #: a name of https://schema.org/ItemAvailability
    condition: str  #: "new", "used", "refurbished" or "damaged"
    other_prices: list[StatedPrice]
    rating: float | None  #: 0–5
    rating_count: int | None
    reviews_read: int
    score: int  #: 0–100
    verdict: Verdict  #: "buy", "consider" or "avoid"
    reasons_for: list[str]
    reasons_against: list[str]
    reasons: list[WeighedReason]  #: the same sentences, with what each weighs
    confidence: float  #: 0–1; below 0.35 the verdict is always "consider"
    sources: list[str]  #: of "json-ld", "microdata", "rdfa", "opengraph", "visible", best first
    grounds: Grounds
    analyzed_at: str  #: ISO 8601 in UTC, to the second


@with_policy(RetryPolicy(max_attempts=5, base=2.0, cap=300.0, retry_on=(RetryLater,)))
def analyze_product(url: str) -> Analysis:
    """Fetch the product page at `url`, read and judge it; answers of the last six hours come from the cache.

    Raises `RetryLater` when the shop has trouble that may pass (out of reach, timeout, 429, 5xx), and `PermanentError`
    when trying again cannot help: a bad address, and one of `jobs.products.refusals` for a page that cannot be read.
    """
    job = context.current()
    address = canonical(checked(url))
    key = cache_key(str(address))
    if (cached := _fresh(job.cache_get(key))) is not None:
        job.progress(100, "answered from the cache")
        return cast(Analysis, cached)
    job.progress(10, "fetching the page")
    page = fetch_page(address)
    job.progress(50, "reading the page")
    with _READING:
        product, sources = read_product(page)
    job.progress(70, f"judging the price, the rating and {len(product.reviews)} reviews")
    analysis = _analysis(str(address), product, sources, judge(product))
    job.cache_set(key, json.dumps(analysis).encode(), KEEP_SECONDS)
    job.progress(100, f"verdict: {analysis['verdict']}")
    return analysis


def _analysis(address: str, product: Product, sources: list[str], judgement: Judgement) -> Analysis:
    """Put the answer together. It is cached, so it holds nothing of the link that was asked for."""
    offer, rating, certainty = product.offer, product.rating, product.certainty
    return Analysis(
        url=address,
        canonical_url=address,
        name=product.name,
        price=_number(offer.price) if offer else None,
        currency=(offer.currency or None) if offer else None,
        list_price=_number(offer.list_price) if offer else None,
        availability=(offer.availability or None) if offer else None,
        condition=(offer.condition or "new") if offer else "new",
        other_prices=[
            StatedPrice(kind=one.kind, amount=float(one.amount), currency=one.currency or None)
            for one in (offer.others if offer else ())
        ],
        rating=rating.stars if rating else None,
        rating_count=rating.votes if rating else None,
        reviews_read=len(product.reviews),
        score=judgement.score,
        verdict=judgement.verdict,
        reasons_for=judgement.reasons_for,
        reasons_against=judgement.reasons_against,
        reasons=[
            WeighedReason(text=one.text, speaks_for=one.speaks_for, points=one.points, confidence=one.confidence)
            for one in judgement.reasons
        ],
        confidence=judgement.confidence,
        sources=sources,
        grounds=Grounds(
            product_certainty=certainty.identity,
            price_certainty=certainty.price,
            product=list(certainty.evidence),
            price=list(certainty.price_sources),
        ),
        analyzed_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _number(amount: Decimal | None) -> float | None:
    return float(amount) if amount else None


def cache_key(canonical_url: str) -> str:
    """Return the name under which the analysis of a page is cached, for `JobContext.cache_get` and producers."""
    return f"product:{CACHE_VERSION}:{hashlib.sha256(canonical_url.encode()).hexdigest()}"


def _fresh(cached: bytes | None) -> dict[str, Any] | None:
    """Return a cached analysis that need not be made anew."""
    if cached is None:
        return None
    analysis: dict[str, Any] = json.loads(cached)
    age = datetime.now(UTC) - datetime.fromisoformat(analysis["analyzed_at"])
    return analysis if age.total_seconds() < FRESH_SECONDS - MARGIN_SECONDS else None
