"""What buyers say: scales, counts, and whose reviews they are."""

from __future__ import annotations

from typing import Any

from tests.support.products.corpus.snippet import Snippet, ld, page, product


def _rating(shape: str, why: str, rating: Any, stars: float | None, votes: int | None) -> Snippet:
    return Snippet(shape, page(ld(product(aggregateRating=rating))), {"stars": stars, "votes": votes}, why)


def _variant(name: str, stars: float, votes: int) -> dict[str, Any]:
    return product(name=name, aggregateRating={"ratingValue": stars, "ratingCount": votes})


_REVIEW = {"@type": "Review", "reviewBody": "Boils fast.", "reviewRating": {"ratingValue": "4"}}

SNIPPETS = [
    _rating("value and count", "the standard's own", {"ratingValue": "4.5", "ratingCount": "10"}, 4.5, 10),
    _rating("decimal comma", "4,5 is 4.5", {"ratingValue": "4,5", "reviewCount": "1.284"}, 4.5, 1284),
    _rating("value of value", "the text names the scale", {"ratingValue": "4,5 von 5", "ratingCount": 8}, 4.5, 8),
    _rating("scale in Japanese", "the scale stands first", {"ratingValue": "5つ星のうち4.3", "ratingCount": "128件"}, 4.3, 128),
    _rating("percent", "92 % is 4.6 of 5", {"ratingValue": "92 %", "ratingCount": 40}, 4.6, 40),
    _rating("percent of 100", "the same, twice said", {"ratingValue": "92%", "bestRating": "100", "ratingCount": 40}, 4.6, 40),
    _rating("of ten", "9 of 10 is 4.5 of 5", {"ratingValue": 9, "bestRating": 10, "ratingCount": 4}, 4.5, 4),
    _rating("bare number", "a number for a node", 4.5, 4.5, None),
    _rating("1.2k", "a shortened count", {"ratingValue": 4.5, "ratingCount": "1.2k"}, 4.5, 1200),
    _rating("count with words", "words around", {"ratingValue": 4.5, "reviewCount": "1,284 ratings"}, 4.5, 1284),
    _rating("Swiss count", "an apostrophe groups", {"ratingValue": 4.5, "ratingCount": "1’284"}, 4.5, 1284),
    _rating("no votes", "5 of nobody is no rating", {"ratingValue": 5, "ratingCount": 0}, None, None),
    _rating("beyond the scale", "87 of 5 is no rating", {"ratingValue": 87, "ratingCount": 4}, None, None),
    _rating("several", "the one with most votes", [{"ratingValue": 5, "ratingCount": 2}, {"ratingValue": 4.1, "ratingCount": 300}], 4.1, 300),
    Snippet("on the variants, shared", page(ld({"@type": "ProductGroup", "name": "Kettle", "hasVariant": [_variant("1 l", 4.5, 20), _variant("2 l", 4.5, 20)]})), {"stars": 4.5, "votes": 20}, "one set of votes, repeated"),
    Snippet("on the variants, each its own", page(ld({"@type": "ProductGroup", "name": "Kettle", "hasVariant": [_variant("1 l", 5.0, 10), _variant("2 l", 4.0, 30)]})), {"stars": 4.25, "votes": 40}, "votes are added up"),
    Snippet("on the group", page("<title>Kettle 1 l</title>" + ld(product(name="Kettle 1 l", isVariantOf={"@type": "ProductGroup", "name": "Kettle", "aggregateRating": {"ratingValue": 4.4, "ratingCount": 9}}))),
        {"name": "Kettle 1 l", "stars": 4.4, "votes": 9}, "a variant has its group's votes"),
    Snippet("beside the product", page(ld([product(), {"@type": "AggregateRating", "itemReviewed": {"@type": "Thing", "name": "Brass kettle"}, "ratingValue": 4, "ratingCount": 3}])), {"stars": 4.0, "votes": 3}, "it says whose it is"),
    Snippet("reviews in place of a rating", page(ld(product(review=[_REVIEW, {**_REVIEW, "reviewBody": "Leaks.", "reviewRating": 2}]))), {"stars": 3.0, "votes": 2, "reviews": 2}, "their mean; a bare number is a rating"),
    Snippet("one review as a node", page(ld(product(review=_REVIEW))), {"reviews": 1, "stars": 4.0}, "not a list"),
    Snippet("review by reference", page(ld({"@graph": [product(review=[{"@id": "#r"}]), {"@id": "#r", **_REVIEW}]})), {"reviews": 1}, "elsewhere in the graph"),
    Snippet("review beside that names the product", page(ld([product(**{"@id": "#p"}), {**_REVIEW, "itemReviewed": {"@id": "#p"}}])), {"reviews": 1}, "by id"),
    Snippet("review of another product inside", page(ld(product(review=[_REVIEW, {**_REVIEW, "reviewBody": "Great lamp", "itemReviewed": {"name": "Desk lamp"}}]))), {"reviews": 1}, "it names another thing"),
    Snippet("microdata ratings", page("", '<div itemscope itemtype="https://schema.org/Product"><h1 itemprop=name>Kettle</h1><p itemprop=aggregateRating itemscope>'
        '<b itemprop=ratingValue>4,4</b> von <b itemprop=bestRating>5</b> (<b itemprop=ratingCount>1.086</b>)</p></div>'), {"stars": 4.4, "votes": 1086}, "as people read them"),
]  # fmt: skip
