"""Read the product that a page sells, from all that the page says for machines."""

from __future__ import annotations

from dataclasses import replace

from jobs.fetching import Page
from jobs.opengraph import opengraph_product
from jobs.pages import PageData, read_page
from jobs.product_facts import Offer, Product
from jobs.schema_org import find_product
from worker.retry import PermanentError


def read_product(page: Page) -> tuple[Product, list[str]]:
    """Return the product of `page` and the kinds of data that it came from, best first.

    The kinds are ``json-ld``, ``microdata`` and ``opengraph``; each fills only what those before left open.
    Raises `PermanentError` when the page describes no product.
    """
    data = read_page(page.html, page.url)
    product: Product | None = None
    sources: list[str] = []
    for source, candidate in _candidates(data):
        merged = candidate if product is None else _filled(product, candidate)
        if merged is not None and merged != product:
            product = merged
            sources.append(source)
    if product is None:
        raise PermanentError(
            "the page is not a product's: it has neither a schema.org Product nor an OpenGraph price; "
            "give the address of one product's own page"
        )
    product = product if product.name else replace(product, name=data.title)
    if not product.name:
        raise PermanentError("the page describes a product without a name; give the address of its own page")
    return product, sources


def _candidates(data: PageData) -> list[tuple[str, Product | None]]:
    return [
        ("json-ld", find_product(data.json_ld)),
        ("microdata", find_product(data.microdata)),
        ("opengraph", opengraph_product(data.opengraph)),
    ]


def _filled(product: Product, other: Product | None) -> Product:
    """Return `product` with its gaps filled from `other`, unless their names say that they differ."""
    if other is None or not _same(product.name, other.name):
        return product
    return replace(
        product,
        name=product.name or other.name,
        offer=_filled_offer(product.offer, other.offer),
        rating=product.rating or other.rating,
        reviews=product.reviews or other.reviews,
    )


def _same(name: str, other: str) -> bool:
    one, two = name.casefold(), other.casefold()
    return one in two or two in one  # titles add the shop's name; '' is in every name


def _filled_offer(offer: Offer | None, other: Offer | None) -> Offer | None:
    if offer is None or offer.price is None or other is None:
        return other if offer is None or (other and other.price) else offer
    return replace(
        offer,
        currency=offer.currency or other.currency,
        availability=offer.availability or other.availability,
        list_price=offer.list_price or other.list_price,
    )
