"""Read a product from a page's <meta> properties: https://ogp.me, and those that Meta's shops and feeds use."""

from __future__ import annotations

from datetime import date

from jobs.products.reading.numbers import currency_of, price
from jobs.products.reading.offers import Stated, Statement, parse_date
from jobs.products.reading.page import PageFacts
from jobs.products.reading.words import availability, condition


def declared_product(facts: PageFacts) -> bool:
    """Return whether the page calls itself a product's."""
    kind = facts.properties.get("og:type", "").lower()
    return "product" in kind and "group" not in kind and "list" not in kind


def read_properties(facts: PageFacts, today: date) -> Stated:
    """Return what the properties state of the product's offer."""

    def first(*names: str) -> str:
        return next((facts.properties[name] for name in names if name in facts.properties), "")

    stated = Stated()
    state = availability(first("product:availability", "og:availability", "availability"))
    used = condition(first("product:condition", "og:condition"))
    regular = first("product:price:amount", "og:price:amount", "product:price", "og:price", "twitter:data1")
    if "twitter:data1" in facts.properties and regular == facts.properties["twitter:data1"]:
        amount = price(regular)
        regular = regular if amount is not None and amount.signed else ""
    sale = first("product:sale_price:amount", "product:sale_price", "og:sale_price:amount")
    end = parse_date(first("product:sale_price_dates:end"))
    begin = parse_date(first("product:sale_price_dates:start"))
    if (end and end < today) or (begin and begin > today):
        sale = ""
    currency = currency_of(
        first(
            "product:sale_price:currency",
            "product:price:currency",
            "og:price:currency",
            "product:currency",
            "og:currency",
        )
    )
    original = first("product:original_price:amount", "og:price:standard_amount")
    for text, kind in ((sale or regular, None), (regular if sale else "", "list"), (original, "list")):
        if text and (amount := price(text, currency)):
            stated.statements.append(
                Statement(
                    amount.value,
                    "opengraph",
                    currency or amount.currency,
                    amount.other,
                    kind if kind or used in {"", "new"} else used,  # type: ignore[arg-type]
                    state,
                )
            )
    if not stated.statements and state:
        stated.availabilities.append(state)
    return stated
