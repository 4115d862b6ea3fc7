"""Tell a shopper whether a product is worth buying, from its page."""

from __future__ import annotations

import hashlib
import json
from typing import TypedDict, cast

from jobs.fetching import fetch_page
from jobs.product_page import read_product
from jobs.urls import canonical, checked
from jobs.verdict import Verdict, judge
from worker import context
from worker.retry import RetryLater, RetryPolicy, with_policy

#: Seconds that an analysis stays good: prices change daily, reviews more slowly.
CACHE_TTL = 6 * 3600
#: Part of the cache's keys. Raise it when an analysis comes out differently, or old ones go on being served.
CACHE_VERSION = 1


class Analysis(TypedDict):
    """The answer of `analyze_product`. Reasons are sentences that quote reviews: escape them as web text."""

    url: str  #: as it was asked for
    canonical_url: str  #: the same for all links to one page: no fragment, no tracking parameters
    name: str
    price: float | None
    currency: str | None  #: ISO 4217
    rating: float | None  #: 0–5
    rating_count: int | None
    reviews_read: int
    score: int  #: 0–100
    verdict: Verdict  #: "buy", "consider" or "avoid"
    reasons_for: list[str]
    reasons_against: list[str]
    confidence: float  #: 0–1; below 0.35 the verdict is always "consider"
    sources: list[str]  #: of "json-ld", "microdata", "opengraph", best first


@with_policy(RetryPolicy(max_attempts=5, base=2.0, cap=300.0, retry_on=(RetryLater,)))
def analyze_product(url: str) -> Analysis:
    """Fetch the product page at `url`, read and judge it; answers of the last six hours come from the cache.

    Raises `RetryLater` when the shop has trouble that may pass (timeout, lost connection, 429, 5xx), and
    `PermanentError` when trying again cannot help (bad or refused address, 404, not a product).
    """
    job = context.current()
    address = canonical(checked(url))
    key = f"product:{CACHE_VERSION}:{hashlib.sha256(str(address).encode()).hexdigest()}"
    if (cached := job.cache_get(key)) is not None:
        job.progress(100, "answered from the cache")
        return cast(Analysis, json.loads(cached) | {"url": url})
    job.progress(10, "fetching the page")
    page = fetch_page(address)
    job.progress(50, "reading the page")
    product, sources = read_product(page)
    job.progress(70, f"judging the price, the rating and {len(product.reviews)} reviews")
    judgement = judge(product)
    offer, rating = product.offer, product.rating
    analysis = Analysis(
        url=url,
        canonical_url=str(address),
        name=product.name,
        price=float(offer.price) if offer and offer.price else None,
        currency=(offer.currency or None) if offer else None,
        rating=rating.stars if rating else None,
        rating_count=rating.votes if rating else None,
        reviews_read=len(product.reviews),
        score=judgement.score,
        verdict=judgement.verdict,
        reasons_for=judgement.reasons_for,
        reasons_against=judgement.reasons_against,
        confidence=judgement.confidence,
        sources=sources,
    )
    job.cache_set(key, json.dumps(analysis).encode(), CACHE_TTL)
    job.progress(100, f"verdict: {analysis['verdict']}")
    return analysis
