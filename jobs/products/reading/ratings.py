"""What buyers say of a product: its rating, and the texts of reviews."""

from __future__ import annotations

from decimal import Decimal

from jobs.products.facts import Rating, Review
from jobs.products.reading.graph import Graph, Node
from jobs.products.reading.identity import same_product
from jobs.products.reading.numbers import count, number, on_scale
from jobs.products.reading.words import fold

#: More reviews than these add time, not knowledge; longer ones are cut, in characters.
MAX_REVIEWS = 100
MAX_REVIEW_LENGTH = 2000
#: Reviews and variants that are looked at for them.
_MAX_LOOKED_AT = 2_000


def read_rating(graph: Graph, product: Node, reviews: list[Review]) -> Rating | None:
    """Return the rating of `product`, else of its group or its variants, else the mean of the reviews' stars."""
    own = _own_rating(graph, product)
    if own is None:
        for group in graph.related(product, "isvariantof", "model")[:5]:
            own = own or _own_rating(graph, group)
    return own or _of_variants(graph, product) or _beside(graph, product) or _mean(reviews)


def read_reviews(graph: Graph, product: Node) -> list[Review]:
    """Return the distinct reviews of `product`: its own and its variants', and those beside it that name it."""
    nodes = graph.related(product, "review", "reviews")
    for variant in graph.related(product, "hasvariant")[:_MAX_LOOKED_AT]:
        nodes += graph.related(variant, "review", "reviews")
    nodes += [node for node in graph.nodes if "review" in node.types and node.has("itemreviewed")][:_MAX_LOOKED_AT]
    own = {id(node) for node in graph.related(product, "review", "reviews")}
    found: dict[str, Review] = {}
    for node in nodes[:_MAX_LOOKED_AT]:
        if not _is_about(graph, node, product, default=id(node) in own or not node.has("itemreviewed")):
            continue
        body = node.text("reviewbody", "description", "text", "name", "headline")
        if body:
            found.setdefault(body, Review(body[:MAX_REVIEW_LENGTH], _review_stars(graph, node)))
        if len(found) == MAX_REVIEWS:
            break
    return list(found.values())


def _is_about(graph: Graph, review: Node, product: Node, *, default: bool) -> bool:
    """Return whether `review` is of `product`; `default` where it names nothing."""
    items = graph.related(review, "itemreviewed")
    if any(item is product for item in items):
        return True
    names = [name for item in items if (name := item.text("name"))]
    names += [value for value in review.values.get("itemreviewed", ()) if isinstance(value, str) and "://" not in value]
    if not names:
        return default and (not items or not any(item.id and item.id != product.id for item in items))
    name = product.text("name")
    if default:
        return any(same_product(name, one) for one in names)
    return any(fold(name) == fold(one) for one in names)


def _own_rating(graph: Graph, node: Node) -> Rating | None:
    """Return the rating with the most votes that `node` itself has."""
    found = [one for rating in graph.related(node, "aggregaterating")[:20] if (one := _aggregate(rating))]
    for text in node.texts("aggregaterating"):  # "aggregateRating": 4.5
        if not found and (stars := _stars(text, "")):
            found.append(Rating(stars, count(node.text("ratingcount", "reviewcount"))))
    if not found and node.has("ratingvalue"):  # without a node of its own
        one = _aggregate(node)
        found += [one] if one else []
    return max(found, key=lambda one: one.votes or 0, default=None)


def _of_variants(graph: Graph, product: Node) -> Rating | None:
    """Return the rating of the variants: of shared votes once, of different ones together."""
    found = [
        one for variant in graph.related(product, "hasvariant")[:_MAX_LOOKED_AT] if (one := _own_rating(graph, variant))
    ]
    distinct = list(dict.fromkeys((one.stars, one.votes) for one in found))
    if not distinct:
        return None
    if len(distinct) == 1:
        return found[0]
    votes = sum(count or 1 for _, count in distinct)
    return Rating(round(sum(stars * (count or 1) for stars, count in distinct) / votes, 2), votes)


def _beside(graph: Graph, product: Node) -> Rating | None:
    """Return a rating that stands by itself and says that it is of `product`."""
    name = fold(product.text("name"))
    for node in graph.nodes:
        if "aggregaterating" in node.types and node.has("itemreviewed"):
            items = graph.related(node, "itemreviewed")
            texts = [value for value in node.values["itemreviewed"] if isinstance(value, str)]
            if any(item is product or (name and fold(item.text("name")) == name) for item in items) or name in map(
                fold, texts
            ):
                return _aggregate(node)
    return None


def _aggregate(node: Node) -> Rating | None:
    stars = _stars(node.text("ratingvalue"), node.text("bestrating"))
    counts = [count(node.text(name)) for name in ("ratingcount", "reviewcount", "votes", "count")]
    votes = max((one for one in counts if one is not None), default=None)
    if not stars or votes == 0:  # shops write 0 stars, or 5 of nobody, for "not rated yet"
        return None
    return Rating(stars, votes)


def _review_stars(graph: Graph, review: Node) -> float | None:
    for rating in graph.related(review, "reviewrating", "rating")[:3]:
        if (stars := _stars(rating.text("ratingvalue"), rating.text("bestrating"))) is not None:
            return stars
    return _stars(
        next((one for one in review.values.get("reviewrating", []) if isinstance(one, str)), ""),
        review.text("bestrating"),
    )


def _stars(value: str, best_text: str) -> float | None:
    """Return a rating on the scale from 0 to 5."""
    read = on_scale(value)
    if read is None:
        return None
    stars, best = read
    stated = number(best_text)
    if best is None:
        best = stated if stated and stated > 0 else Decimal(5)
    if not 0 <= stars <= best or best <= 0:
        return None
    return round(float(stars / best) * 5, 2)


def _mean(reviews: list[Review]) -> Rating | None:
    stars = [review.stars for review in reviews if review.stars is not None]
    return Rating(round(sum(stars) / len(stars), 2), len(stars)) if stars else None
