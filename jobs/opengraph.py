"""Read a product from OpenGraph properties: https://ogp.me, and the product ones that Meta's shops use."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.numbers import currency_code, positive
from jobs.pages import MAX_TITLE
from jobs.product_facts import Offer, Product

#: How feeds spell schema.org's availability.
_AVAILABILITY = {
    **dict.fromkeys(("instock", "in stock", "in_stock", "available", "available for order"), "InStock"),
    **dict.fromkeys(("oos", "outofstock", "out of stock", "out_of_stock", "pending"), "OutOfStock"),
    **dict.fromkeys(("preorder", "pre-order"), "PreOrder"),
    "discontinued": "Discontinued",
}


def opengraph_product(properties: Mapping[str, str]) -> Product | None:
    """Return the product, or None when the page is not declared as one and names no price."""

    def first(*names: str) -> str:
        return next((properties[name] for name in names if name in properties), "")

    amount = first("product:sale_price:amount", "product:price:amount", "og:price:amount")
    if not amount and "product" not in first("og:type").lower():
        return None
    offer = Offer(
        price=positive(amount),
        currency=currency_code(first("product:sale_price:currency", "product:price:currency", "og:price:currency"))
        or currency_code(amount),
        availability=_AVAILABILITY.get(first("product:availability", "og:availability").lower(), ""),
        list_price=positive(first("product:original_price:amount", "og:price:standard_amount")),
    )
    return Product(name=first("og:title")[:MAX_TITLE], offer=offer)
