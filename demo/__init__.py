"""What `make run` shows: a product's analysis, from a shop on this machine, and the site that shoppers use."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from demo import shop, site
from worker.cli.demonstration import Demonstration, Sample
from worker.text import one_line

FUNCTION = "jobs.products.analyze_product"


def show(stack: ExitStack, redis_url: str, queue: str, *, local: bool) -> Demonstration:
    """Serve the shop, if Redis is on this machine, and the site; both end with the stack."""
    pages = stack.enter_context(shop.sample_shop()) if local else "https://shop.example"
    address = stack.enter_context(site.site(redis_url, queue=queue))
    return Demonstration(
        first=Sample(FUNCTION, (f"{pages}/buy.html",)),
        more=[
            Sample(FUNCTION, (f"{pages}/consider.html",)),
            Sample(FUNCTION, (f"{pages}/broken.html",), "ends as a dead letter"),
        ],
        tell=verdict_lines,
        pages={"a shopper's page": f"{address}/"} if address else {},
        notes=[] if address else ["Without Node (18 or newer) the shopper's page is not served."],
    )


def verdict_lines(result: dict[str, Any]) -> list[str]:
    """Return the lines that show a product analysis; the page's own words are made safe to print."""
    price = (
        f"{result['price']} {result.get('currency') or ''}".strip() if result.get("price") is not None else "no price"
    )
    read_of = f"{result.get('reviews_read')} reviews read"
    lines = [
        f"{one_line(result.get('name'))}: {one_line(result['verdict']).upper()} ({result.get('score')}/100)",
        f"  {one_line(price)} · rating {result.get('rating')} · {read_of} · confidence {result.get('confidence')}",
    ]
    lines += [f"  + {one_line(reason)}" for reason in result.get("reasons_for", ())]
    lines += [f"  - {one_line(reason)}" for reason in result.get("reasons_against", ())]
    return lines
