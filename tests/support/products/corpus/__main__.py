"""Print who reads what of the corpus, as Markdown: this project beside a plain use of extruct.

`python -m tests.support.products.corpus [--rows]`; with ``--rows`` every shape that one of the two reads wrong.

extruct gives a page's data as they are written, not a product. So it is used as its manual shows, and kindly: all
syntaxes, uniform output, names without their vocabulary, references followed; of the first Product that has a name the
first offer's price, else lowPrice, and of a text the first number, with a comma for a dot.
"""

from __future__ import annotations

import logging
import re
import sys
from decimal import Decimal
from typing import Any

import extruct

from jobs.products.fetching import Page
from jobs.products.page import read_product
from tests.support.products.corpus import CORPUS
from tests.support.products.corpus.snippet import TODAY, URL, Snippet
from worker.retry import PermanentError, RetryLater

#: What both can be asked for.
_ASKED = ("name", "price", "available", "stars")


def ours(html: str) -> dict[str, Any]:
    """Return what this project finds."""
    try:
        product, _ = read_product(Page(URL, html), today=TODAY)
    except (PermanentError, RetryLater) as error:
        return {"refused": type(error).__name__}
    offer, rating = product.offer, product.rating
    return {
        "name": product.name,
        "price": offer.price if offer else None,
        "available": offer is None or offer.available,
        "stars": rating.stars if rating else None,
    }


def extructs(html: str) -> dict[str, Any]:
    """Return what a plain use of extruct finds."""
    try:
        data = extruct.extract(html, base_url=URL, uniform=True, errors="ignore")
    except Exception as error:  # it raises what its parsers raise
        return {"refused": type(error).__name__}
    for syntax in ("json-ld", "microdata", "rdfa", "opengraph"):
        items = [_plain(item) for item in _flat(data.get(syntax))]
        by_id = {item["@id"]: item for item in items if "@id" in item and len(item) > 1}
        for item in items:
            name = item.get("name") or item.get("og:title")
            types = item.get("@type") if isinstance(item.get("@type"), list) else [item.get("@type")]
            if not name or not any(str(one).rpartition("/")[2].lower().endswith("product") for one in types):
                continue
            offer, rating = (
                by_id.get(one.get("@id"), one)
                for one in (next(iter(_flat(item.get(key))), {}) for key in ("offers", "aggregateRating"))
            )
            state = str(offer.get("availability")).rpartition("/")[2]
            return {
                "name": name,
                "price": _decimal(offer.get("price", offer.get("lowPrice", item.get("product:price:amount")))),
                "available": state not in {"OutOfStock", "SoldOut", "Discontinued"},
                "stars": _decimal(rating.get("ratingValue")),
            }
    return {"refused": "no product"}


def right(snippet: Snippet, found: dict[str, Any]) -> bool:
    """Return whether all that is asked for was found; for a page without a product, that none was."""
    if "refused" in snippet.right:
        return "refused" in found
    if "refused" in found:
        return False
    asked = [name for name in _ASKED if name in snippet.right]
    return all(_same(snippet.right[name], found[name]) for name in asked)


def main() -> None:
    """Print the table."""
    logging.disable(logging.CRITICAL)
    rows = [
        (theme, snippet.shape, right(snippet, ours(snippet.html)), right(snippet, extructs(snippet.html)))
        for theme, snippets in CORPUS.items()
        for snippet in snippets
    ]
    print("| theme | shapes | this project | extruct 0.18.0 |\n|---|---:|---:|---:|")
    for theme in [*CORPUS, "all"]:
        of_theme = [row for row in rows if theme in {row[0], "all"}]
        print(f"| {theme} | {len(of_theme)} | {sum(row[2] for row in of_theme)} | {sum(row[3] for row in of_theme)} |")
    if "--rows" in sys.argv:
        print("\n| theme | shape | this project | extruct |\n|---|---|---|---|")
        for theme, shape, one, two in rows:
            if not (one and two):
                print(f"| {theme} | `{shape}` | {'yes' if one else 'no'} | {'yes' if two else 'no'} |")


def _flat(value: Any) -> list[dict[str, Any]]:
    values = value if isinstance(value, list) else [value]
    found = [one for one in values if isinstance(one, dict)]
    return found + [inner for one in found for inner in _flat(one.get("@graph"))]


def _plain(value: Any) -> Any:
    """Return data with the last part of each name, and with the values of value objects."""
    if isinstance(value, list):
        values = [_plain(one) for one in value]
        return values[0] if len(values) == 1 else values
    if not isinstance(value, dict):
        return value
    if "@value" in value:
        return value["@value"]
    return {key if key.startswith("@") else key.rpartition("/")[2]: _plain(one) for key, one in value.items()}


def _decimal(value: Any) -> Decimal | None:
    found = re.search(r"\d+(?:\.\d+)?", str(value).replace(",", ".")) if isinstance(value, str | int | float) else None
    return Decimal(found[0]) if found else None


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(found, Decimal):
        return wanted is not None and Decimal(str(wanted)) == found
    if isinstance(found, float):
        return wanted is not None and float(wanted) == found
    return bool(wanted == found)


if __name__ == "__main__":
    main()
