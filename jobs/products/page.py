"""Read the product that a page sells, from all that the page says to machines and to people."""

from __future__ import annotations

from datetime import UTC, date, datetime

from jobs.products.facts import Certainty, Product, Rating, Review
from jobs.products.fetching import Page
from jobs.products.reading.budget import MAX_JSON_CHARACTERS, Allowance, Clock
from jobs.products.reading.graph import Graph, Node, add_json_ld
from jobs.products.reading.identity import Choice, choose, same_product
from jobs.products.reading.loose_json import parse_json
from jobs.products.reading.markup import Markup, split_markup
from jobs.products.reading.metas import declared_product, read_properties
from jobs.products.reading.microdata import add_markup_data
from jobs.products.reading.offers import Reader, Stated
from jobs.products.reading.page import MAX_TITLE, PageFacts, read_facts
from jobs.products.reading.pricing import decide
from jobs.products.reading.ratings import read_rating, read_reviews
from jobs.products.reading.tree import parse_html
from jobs.products.reading.unreadable import why_unreadable
from jobs.products.refusals import NamelessProduct

#: In which order sources are named and, all else equal, believed.
_SOURCES = ("json-ld", "microdata", "rdfa", "opengraph", "visible")


def read_product(page: Page, today: date | None = None) -> tuple[Product, list[str]]:
    """Return the product of `page` and the kinds of data that it came from, best first.

    The kinds are ``json-ld``, ``microdata``, ``rdfa``, ``opengraph`` and ``visible``. `today` (UTC) decides whether an
    offer's dates are over. Raises one of `jobs.products.refusals` when there is no product to read, and `RetryLater`
    when a shop is closed for the moment.
    """
    clock = Clock()
    markup = split_markup(page.html)
    root = parse_html(markup.text)
    facts = read_facts(root, markup, page.url, clock)
    graph = Graph()
    _add_json_ld(graph, markup, clock)
    add_markup_data(graph, root, facts.url, clock)
    del root  # tens of megabytes, for a large page
    graph.link()
    choice = choose(graph, facts)
    day = today or datetime.now(UTC).date()
    properties = read_properties(facts, day)
    if choice.node is not None:
        product, sources = _from_graph(graph, choice, facts, properties, day)
    elif properties.statements or (declared_product(facts) and not choice.listed > 1):
        product, sources = _from_properties(facts, properties)
    else:
        raise why_unreadable(page.html, facts, graph, choice)
    if not product.name:
        raise NamelessProduct
    return product, sources


def _add_json_ld(graph: Graph, markup: Markup, clock: Clock) -> None:
    characters = Allowance(MAX_JSON_CHARACTERS)
    for block in markup.json_ld:
        clock.check()
        if characters.take(len(block)):
            for value in parse_json(block):
                add_json_ld(graph, value)


def _from_graph(
    graph: Graph, choice: Choice, facts: PageFacts, properties: Stated, today: date
) -> tuple[Product, list[str]]:
    """Return what all descriptions of the chosen product say together."""
    assert choice.node is not None  # noqa: S101  for mypy: the caller has looked
    used: set[str] = {choice.node.source}
    nodes = [choice.node, *choice.alike]
    name = next((text for node in nodes if (text := node.text("name"))), "")
    stated: dict[str, Stated] = {}
    offers = Reader(graph, today, facts.url)
    for node in nodes:
        said = offers.read(node)
        known = stated.get(node.source)
        if (said.statements or said.availabilities) and (known is None or not known.statements):
            stated[node.source] = said
    rating, reviews = _opinions(graph, nodes, used)
    if same_product(name, facts.properties.get("og:title", "")) and (
        properties.statements or properties.availabilities
    ):
        stated["opengraph"] = properties
    pricing = decide(sorted(stated.items(), key=lambda one: _SOURCES.index(one[0])), facts)
    used.update(_credited(pricing.sources))
    if pricing.offer and pricing.offer.price:
        used.update(_fillers(stated, pricing.sources))
    sources = [one for one in _SOURCES if one in used]
    certainty = Certainty(
        choice.certainty, pricing.certainty, choice.evidence, pricing.sources, (*choice.doubts, *pricing.doubts)
    )
    title = name or next(iter(facts.names), "")
    return Product(title[:MAX_TITLE], pricing.offer, rating, tuple(reviews), certainty), sources


def _credited(sources: tuple[str, ...]) -> set[str]:
    """Return who a price came from; the text that people see only where no data state it."""
    return {"visible"} if sources == ("visible",) else {*sources} - {"visible"}


def _fillers(stated: dict[str, Stated], winners: tuple[str, ...]) -> set[str]:
    """Return the sources that state what the price's own sources do not: a currency, or an availability."""
    winning = [one for name in winners for one in stated.get(name, Stated()).statements]
    found = set()
    for name, said in stated.items():
        if name in winners:
            continue
        states = bool(said.availabilities) or any(one.availability for one in said.statements)
        if not any(one.currency for one in winning) and any(one.currency for one in said.statements):
            found.add(name)
        if not any(one.availability for one in winning) and states:
            found.add(name)
    return found


def _opinions(graph: Graph, nodes: list[Node], used: set[str]) -> tuple[Rating | None, list[Review]]:
    """Return the rating and the reviews of the first description that has each."""
    rating: Rating | None = None
    reviews: list[Review] = []
    for node in nodes[:5]:
        found = read_reviews(graph, node)
        if found and not reviews:
            reviews = found
            used.add(node.source)
        if rating is None and (rating := read_rating(graph, node, found)) is not None:
            used.add(node.source)
    return rating, reviews


def _from_properties(facts: PageFacts, properties: Stated) -> tuple[Product, list[str]]:
    """Return the product that only the page's <meta> properties describe."""
    names = [facts.properties.get("og:title", ""), *facts.names]
    name = next((one for one in names if one), "")
    pricing = decide([("opengraph", properties)], facts)
    declared = declared_product(facts)
    certainty = Certainty(
        0.85 if declared else 0.7,
        pricing.certainty,
        ("og:type",) if declared else (),
        pricing.sources,
        pricing.doubts,
    )
    used = {"opengraph", *_credited(pricing.sources)}
    return Product(name[:MAX_TITLE], pricing.offer, certainty=certainty), [one for one in _SOURCES if one in used]
