"""Find the one product of a page in its structured data, as https://schema.org describes products."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from jobs.numbers import count, currency_code, number, positive
from jobs.pages import MAX_TITLE
from jobs.product_facts import Offer, Product, Rating, Review

Node = dict[str, Any]

_PRODUCT_TYPES = frozenset(
    {"Product", "ProductGroup", "ProductModel", "IndividualProduct", "SomeProducts", "Vehicle", "Car"}
)
#: Properties that lead away to other products: what else the shop lists, recommends or compares with.
_ELSEWHERE = frozenset(
    {
        *("itemListElement", "isRelatedTo", "isSimilarTo", "isAccessoryOrSparePartFor", "isConsumableFor"),
        *("isVariantOf", "hasVariant", "itemReviewed", "predecessorOf", "successorOf"),
    }
)
#: Price types, https://schema.org/PriceTypeEnumeration, of what the product would cost without a discount.
_LIST_PRICES = frozenset({"ListPrice", "StrikethroughPrice", "MSRP", "SRP", "RegularPrice"})

#: More reviews than these add time, not knowledge; longer ones are cut, in characters.
MAX_REVIEWS = 100
MAX_REVIEW_LENGTH = 2000


def find_product(data: Any) -> Product | None:
    """Return the product that `data` (parsed JSON-LD, or microdata items) is about, or None.

    Of several, the one that tells most: first a name counts, then an offer, a rating, anything else.
    """
    graph = _Graph(data)
    products = [node for node in graph.nodes if _PRODUCT_TYPES & types(node)]
    if not products:
        return None
    node = max(products, key=lambda one: ("name" in one, "offers" in one, "aggregateRating" in one, len(one)))
    reviews = _reviews(graph, node)
    return Product(
        name=text(node.get("name"))[:MAX_TITLE],
        offer=_best_offer(graph, node),
        rating=_rating(graph, node) or _mean_rating(reviews),
        reviews=tuple(reviews),
    )


def types(node: Node) -> set[str]:
    """Return the types of `node` without their vocabulary: ``https://schema.org/Product`` → ``Product``."""
    return {_last_segment(one) for one in _values(node.get("@type")) if isinstance(one, str)}


def text(value: Any) -> str:
    """Return the first text of a property, entities resolved and white space joined; '' if it has none."""
    for one in _values(value):
        if isinstance(one, dict):
            one = one.get("@value", one.get("name"))  # noqa: PLW2901
        if isinstance(one, str | int | float) and (cleaned := " ".join(html.unescape(str(one)).split())):
            return cleaned
    return ""


class _Graph:
    """All nodes that speak of this page, and references between them (``{"@id": …}``)."""

    def __init__(self, data: Any) -> None:
        self.nodes = list(_walk(data))
        self._by_id: dict[str, Node] = {}
        for node in self.nodes:
            if isinstance(node.get("@id"), str) and len(node) > 1:
                self._by_id.setdefault(node["@id"], node)

    def related(self, node: Node, *names: str) -> list[Node]:
        """Return the nodes that the properties `names` of `node` hold or refer to."""
        values = [value for name in names for value in _values(node.get(name)) if isinstance(value, dict)]
        return [self.resolved(value) for value in values]

    def resolved(self, node: Node) -> Node:
        """Return the full node where `node` is only a reference."""
        identity = node.get("@id")
        return self._by_id.get(identity, node) if isinstance(identity, str) and len(node) == 1 else node


def _walk(data: Any) -> Iterator[Node]:
    """Yield every node in document order; with a stack of its own, since pages nest as deep as they like."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += [child for name, child in reversed(value.items()) if name not in _ELSEWHERE]
        elif isinstance(value, list | tuple):
            waiting += reversed(value)


def _best_offer(graph: _Graph, product: Node) -> Offer | None:
    """Return the cheapest offer, of those that can be bought if there are any."""
    holders = [product, *graph.related(product, "hasVariant")]
    nodes = [node for holder in holders for node in graph.related(holder, "offers")]
    nodes += [inner for node in nodes for inner in graph.related(node, "offers")]  # of an AggregateOffer
    offers = [_offer(graph, node) for node in nodes]
    if not offers:
        return None
    return min(offers, key=lambda one: (one.price is None, not one.available, one.price or 0))


def _offer(graph: _Graph, node: Node) -> Offer:
    price = positive(text(node.get("price"))) or positive(text(node.get("lowPrice")))
    currency = currency_code(text(node.get("priceCurrency"))) or currency_code(text(node.get("price")))
    list_price = None
    for specification in graph.related(node, "priceSpecification"):
        amount = positive(text(specification.get("price")))
        if _last_segment(text(specification.get("priceType"))) in _LIST_PRICES:
            list_price = list_price or amount
        else:
            price = price or amount
            currency = currency or currency_code(text(specification.get("priceCurrency")))
    return Offer(price, currency, _last_segment(text(node.get("availability"))), list_price)


def _rating(graph: _Graph, product: Node) -> Rating | None:
    for node in graph.related(product, "aggregateRating"):
        stars = _stars(node)
        counts = [count(text(node.get(name))) for name in ("ratingCount", "reviewCount")]
        votes = max((one for one in counts if one is not None), default=None)
        if stars and votes != 0:  # shops write 0 stars, or 5 of nobody, for "not rated yet"
            return Rating(stars, votes)
    return None


def _stars(node: Node) -> float | None:
    """Return a rating's value on the scale from 0 to 5."""
    value = number(text(node.get("ratingValue")))
    best = positive(text(node.get("bestRating"))) or 5
    if value is None or not 0 <= value <= best:
        return None
    return round(float(value / best) * 5, 2)


def _mean_rating(reviews: list[Review]) -> Rating | None:
    stars = [review.stars for review in reviews if review.stars is not None]
    return Rating(round(sum(stars) / len(stars), 2), len(stars)) if stars else None


def _reviews(graph: _Graph, product: Node) -> list[Review]:
    """Return the distinct reviews of `product`, its own and those that stand beside it and name it."""
    nodes = graph.related(product, "review", "reviews")
    nodes += [node for node in graph.nodes if "Review" in types(node) and _is_about(graph, node, product)]
    reviews: dict[str, Review] = {}
    for node in nodes:
        body = text(node.get("reviewBody")) or text(node.get("description")) or text(node.get("name"))
        stars = next((_stars(rating) for rating in graph.related(node, "reviewRating")), None)
        if body:
            reviews.setdefault(body, Review(body[:MAX_REVIEW_LENGTH], stars))
        if len(reviews) == MAX_REVIEWS:
            break
    return list(reviews.values())


def _is_about(graph: _Graph, review: Node, product: Node) -> bool:
    names = {text(item.get("name")) for item in graph.related(review, "itemReviewed")} - {""}
    return any(item is product for item in graph.related(review, "itemReviewed")) or (
        text(product.get("name")) in names
    )


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _last_segment(name: str) -> str:
    return name.rstrip("/").replace("#", "/").replace(":", "/").rpartition("/")[2]
