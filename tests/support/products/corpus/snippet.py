"""One shape of page, what is right for it, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

#: Where every snippet comes from, and on which day it is read.
URL = "https://shop.example/p/1"
TODAY = date(2026, 6, 15)


@dataclass(frozen=True)
class Snippet:
    """`right` holds what must be found, of: name, price, currency, available, availability, condition, list_price, stars,
    votes, reviews, other (kinds and amounts that are told beside the price), doubtful, refused (a class of jobs.products.refusals).
    """

    shape: str
    html: str
    right: dict[str, Any]
    why: str


def page(head: str = "", body: str = "") -> str:
    return f"<!doctype html><html lang=en><head><meta charset=utf-8>{head}</head><body>{body}</body></html>"


def ld(data: Any, wrap: str = "{}") -> str:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f'<script type="application/ld+json">{wrap.replace("{}", text)}</script>'


def product(**properties: Any) -> dict[str, Any]:
    """Return a kettle for 24.50 EUR, but for what `properties` say."""
    return {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": "Brass kettle",
        "offers": {"@type": "Offer", "price": "24.50", "priceCurrency": "EUR"},
        **properties,
    }


def offer(price: Any = "24.50", **properties: Any) -> dict[str, Any]:
    return {"@type": "Offer", "price": price, "priceCurrency": "EUR", **properties}


#: What is right for `product()`.
KETTLE = {"name": "Brass kettle", "price": "24.50", "currency": "EUR"}
