"""Which of the things that a page describes is the product that it sells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from jobs.products.reading.graph import Graph, Node
from jobs.products.reading.page import PageFacts, address_key
from jobs.products.reading.words import fold

_PRODUCTS = frozenset({"product", "productgroup", "productmodel", "individualproduct", "someproducts"})
#: Things that are products where they have a price.
_GOODS = frozenset(
    [
        "book", "audiobook", "vehicle", "car", "motorcycle", "motorizedbicycle", "softwareapplication",
        "mobileapplication", "webapplication", "videogame", "game", "movie", "musicalbum", "drug",
        "dietarysupplement", "productcollection", "course", "clothing",
    ]
)  # fmt: skip
#: Properties that lead away to other things: what else the shop lists, recommends, bundles or compares with.
_ELSEWHERE = frozenset(
    [
        "itemlistelement", "isrelatedto", "issimilarto", "isaccessoryorsparepartfor", "isconsumablefor", "addon",
        "itemoffered", "includesobject", "typeofgood", "predecessorof", "successorof", "makesoffer",
        "hasoffercatalog", "haspart", "ispartof", "isvariantof", "hasvariant", "itemreviewed", "owns",
        "hasproduct", "model", "brand", "manufacturer", "seller", "offeredby", "workexample", "exampleofwork",
        "related", "relatedproducts", "recommendations", "upsell", "crosssell", "accessories", "bundle",
        "comparedto", "citation", "mentions",
    ]
)  # fmt: skip
#: More products than these on one page are a list, whichever is looked at.
MAX_CANDIDATES = 300
_MAIN = frozenset({"mainentity", "primarytopic"})
#: Those of them that may refer to the page's own product.
_OF_ITSELF = frozenset({"itemreviewed", "itemoffered", "isvariantof", "model", "ispartof"})
_SEPARATORS = re.compile(r"\s[|–—\-:·•»«/]\s|\s?[|»«]\s?")


@dataclass(frozen=True, slots=True)
class Choice:
    """A product, by what it was chosen, and how sure that is, from 0 to 1."""

    node: Node | None
    certainty: float
    evidence: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    listed: int = 0  #: how many other products the page lists as such
    alike: tuple[Node, ...] = ()  #: other descriptions of the same product, best first


@dataclass(slots=True)
class _Candidate:
    node: Node
    score: float = 0.0
    likeness: float = 0.0
    evidence: list[str] = field(default_factory=list)
    contradicted: bool = False


def choose(graph: Graph, facts: PageFacts) -> Choice:
    """Return the product that the page is about; its node is None when there is none."""
    own, listed = _split(graph)
    main = _main_ids(graph)
    referred = _referred(graph)
    candidates = [_judged(graph, node, facts, main) for node in own[:MAX_CANDIDATES]]
    for one in candidates:
        if one.node.id and one.node.id in referred:  # it stands by itself, but something calls it another product
            one.score -= 1.5
    if not candidates:
        # Described only as what an offer offers, what a review reviews or as the one entry of a list: if it is what the
        # page is called after, it is the page's.
        pointed_to = [_judged(graph, node, facts, main) for node in listed[:MAX_CANDIDATES]]
        alone = len(listed) == 1 and listed[0].via in {"itemoffered", "itemreviewed"}
        candidates = [one for one in pointed_to if one.evidence or alone]
    if not candidates:
        return Choice(None, 0.0, listed=len(listed))
    best = max(candidates, key=lambda one: (one.score, -one.node.position))
    if not best.evidence and facts.names and _is_list(own):
        return Choice(None, 0.0, listed=len(own))
    return _choice(best, candidates, facts, len(listed))


def is_product(node: Node) -> bool:
    """Return whether `node` is of a type that shops sell."""
    return bool(node.types & _PRODUCTS) or (bool(node.types & _GOODS) and node.has("offers", "price"))


def similarity(one: str, two: str) -> float:
    """Return how much two names have in common, from 0 to 1; a shop's name beside the product's does not count."""
    parts = [two, *_SEPARATORS.split(two)]
    return max(_overlap(_words(one), _words(part)) for part in parts)


def same_product(one: str, two: str) -> bool:
    """Return whether two names may be of one product: one is in the other, or they share most words."""
    if not one or not two:
        return True
    first, second = fold(one), fold(two)
    return first in second or second in first or similarity(one, two) >= 0.5 or similarity(two, one) >= 0.5


def _split(graph: Graph) -> tuple[list[Node], list[Node]]:
    """Return the products that may be the page's own, and those that it only points to, each once."""
    own: dict[int, Node] = {}
    pointed_to: dict[int, Node] = {}
    for node in graph.nodes:
        if not is_product(node) or (not node.values and node.id):
            continue
        node_itself = graph.resolved(node)
        if node_itself.source != node.source:
            node_itself = node
        if any(via in _ELSEWHERE or via.startswith("^") for via, _ in node.ancestors()):
            pointed_to.setdefault(node_itself.position, node_itself)
        else:
            own.setdefault(node_itself.position, node_itself)
    return list(own.values()), [node for at, node in pointed_to.items() if at not in own]


def _referred(graph: Graph) -> set[str]:
    """Return the ids that something refers to as another product."""
    found: set[str] = set()
    main: set[str] = set()
    for node in graph.nodes:
        if node.id and not node.values:
            if node.via in _MAIN:
                main.add(node.id)
            elif (
                node.via
                in _ELSEWHERE
                - {
                    "itemreviewed",
                    "itemoffered",
                    "isvariantof",
                    "model",
                    "hasvariant",
                    "ispartof",
                }
                or node.via == "hasvariant"
            ):
                found.add(node.id)
    return found - main


def _judged(graph: Graph, node: Node, facts: PageFacts, main: set[str]) -> _Candidate:
    """Weigh what speaks for `node`."""
    found = _Candidate(node)
    pages = [parent for via, parent in node.ancestors() if via in _MAIN]
    if pages or (node.id and node.id in main):
        found.score += 4
        found.evidence.append("mainEntity")
    own = {key for one in _addresses(graph, node) if (key := address_key(one, facts.url))}
    if own & facts.addresses:
        found.score += 3
        found.evidence.append("url")
    elif own and facts.canonical:
        found.contradicted = True
        found.score -= 1
    name = node.text("name")
    if name:
        found.score += 0.5
        found.likeness = max((similarity(name, title) for title in facts.names), default=0.0)
        found.score += 3 * found.likeness
        if found.likeness >= 0.5:
            found.evidence.append(_title_that_agrees(name, facts))
    found.score += (
        0.6 * node.has("offers", "price", "hasvariant")
        + 0.3 * node.has("aggregaterating")
        + 0.1 * node.has("review", "sku", "gtin13", "image")
    )
    found.score += {"json-ld": 0.15, "microdata": 0.1, "rdfa": 0.05}[node.source]
    found.score -= min(0.4, 0.02 * node.position)
    return found


def _main_ids(graph: Graph) -> set[str]:
    return {node.id for node in graph.nodes if node.id and not node.values and node.via in _MAIN}


def _addresses(graph: Graph, node: Node) -> Iterable[str]:
    """Yield the addresses that a product has, or that its offers have."""
    yield from node.texts("url")
    if node.id.startswith(("http://", "https://", "/")):
        yield node.id.partition("#")[0]
    for page in node.values.get("mainentityofpage", ()):
        if isinstance(page, str):
            yield page
        else:
            yield page.id
            yield from page.texts("url")
    for offer in graph.related(node, "offers")[:3]:
        yield from offer.texts("url")


def _title_that_agrees(name: str, facts: PageFacts) -> str:
    if any(similarity(name, one) >= 0.5 for one in facts.headings):
        return "heading"
    if any(similarity(name, facts.properties.get(one, "")) >= 0.5 for one in ("og:title", "twitter:title")):
        return "og:title"
    return "title"


def _is_list(own: list[Node]) -> bool:
    """Return whether so many products stand side by side that the page is a list of them."""
    names = {fold(node.text("name")) for node in own if node.source == own[0].source}
    return len(names) >= 3


def _choice(best: _Candidate, candidates: list[_Candidate], facts: PageFacts, listed: int) -> Choice:
    name = best.node.text("name")
    rivals = [
        one
        for one in candidates
        if one is not best and not same_product(name, one.node.text("name")) and one.score > best.score - 1.0
    ]
    doubts = []
    certainty = 1.0 if best.evidence else 0.85
    if rivals:
        certainty = min(certainty, 0.45)
        rival = rivals[0].node.text("name")
        doubts.append(f"The page describes several products; “{name[:80]}” was taken, “{rival[:80]}” may be meant.")
    if not best.evidence and facts.names and name:
        certainty = min(certainty, 0.5)
        doubts.append(f"The page is called “{facts.names[0][:80]}”, but its data speak of “{name[:80]}”.")
    elif best.evidence == ["url"] and facts.headings and best.likeness < 0.2 and name:
        certainty = min(certainty, 0.7)
    if best.contradicted and not {"mainEntity", "heading"} & set(best.evidence):
        certainty = min(certainty, 0.7)
    alike = sorted((one for one in candidates if one is not best and _is_alike(one, best)), key=lambda one: -one.score)
    return Choice(
        best.node, certainty, tuple(best.evidence), tuple(doubts), listed, tuple(one.node for one in alike[:20])
    )


def _is_alike(one: _Candidate, best: _Candidate) -> bool:
    """Return whether two descriptions are of one product: of one name, or both of the page's."""
    first, second = fold(one.node.text("name")), fold(best.node.text("name"))
    if one.contradicted:
        return False
    if first == second or not first or not second:
        return True
    return one.node.source != best.node.source and same_product(first, second) and bool(one.evidence)


def _overlap(one: set[str], two: set[str]) -> float:
    """Return the share of common words; all words of the shorter name in the longer one count for something, too."""
    if not one or not two:
        return 0.0
    common = len(one & two)
    inside = common == min(len(one), len(two)) and sum(map(len, one & two)) >= 4
    return max(common / len(one | two), 0.6 * inside)


def _words(text: str) -> set[str]:
    """Return the words of a name; those of scripts without spaces are pairs of characters."""
    words: set[str] = set()
    for word in fold(text[:300]).split():
        if len(word) > 3 and any(
            "\u3040" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3" for character in word
        ):
            words.update(word[at : at + 2] for at in range(len(word) - 1))
        else:
            words.add(word)
    return words
