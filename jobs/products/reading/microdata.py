"""Read microdata (HTML §5.2) and RDFa Lite (with RDFa's `rel` and `about`) into the graph.

One walk for both: they differ in the names of their attributes. An element costs the same however often it is included,
and inclusions are few (`budget`).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

from lxml import etree

from jobs.products.reading.budget import (
    MAX_ELEMENTS,
    MAX_INCLUDED,
    MAX_INCLUDED_BY_ITEM,
    MAX_TEXT,
    Allowance,
    Clock,
)
from jobs.products.reading.graph import MAX_VALUE, Graph, Node, clean, term
from jobs.products.reading.tree import text_of

_URL_ATTRIBUTES = {
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
    "object": "data",
}
_VALUE_ATTRIBUTES = {"meta": "content", "data": "value", "meter": "value", "time": "datetime"}
#: Names of `rel` that speak of links, not of things.
_LINKS = frozenset(
    [
        "alternate", "author", "bookmark", "canonical", "external", "help", "icon", "license", "next", "nofollow",
        "noopener", "noreferrer", "prefetch", "preload", "prev", "preconnect", "search", "stylesheet", "tag",
        "ugc", "sponsored",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place:
    """What surrounds an element."""

    microdata: Node | None = None
    rdfa: Node | None = None
    rel: tuple[str, ...] = ()  #: RDFa's properties that the next thing inside is the value of


def add_markup_data(graph: Graph, root: etree._Element, base_url: str, clock: Clock) -> None:
    """Add the items of microdata and the things of RDFa in `root`; URLs are made absolute with `base_url`."""
    walk = _Walk(graph, root, base_url)
    if root.find(".//*[@itemscope]") is None and root.find(".//*[@typeof]") is None:  # most pages have none
        return
    waiting: list[tuple[etree._Element, _Place]] = [(root, _Place())]
    elements = Allowance(MAX_ELEMENTS)
    while waiting and elements.take() and not graph.is_full:
        if elements.left % 1024 == 0:
            clock.check()
        element, place = waiting.pop()
        if not isinstance(element.tag, str) or element.tag == "template":
            continue
        inside, included = walk.read(element, place)
        waiting += [(one, inside) for one in included]
        waiting += [(child, inside) for child in reversed(element)]


class _Walk:
    def __init__(self, graph: Graph, root: etree._Element, base_url: str) -> None:
        self._graph = graph
        self._root = root
        self._base_url = base_url
        self._text = Allowance(MAX_TEXT)
        self._steps = Allowance(2 * MAX_ELEMENTS)
        self._included = Allowance(MAX_INCLUDED)
        self._followed: set[etree._Element] = set()  # whose itemref was followed: references may form circles
        self._targets: dict[str, etree._Element] | None = None

    def read(self, element: etree._Element, place: _Place) -> tuple[_Place, list[etree._Element]]:
        """Read one element; return what surrounds its children, and the elements that it includes."""
        item, included = self._microdata(element, place.microdata)
        thing, rel = self._rdfa(element, place)
        if item is place.microdata and thing is place.rdfa and rel == place.rel:
            return place, included
        return _Place(item, thing, rel), included

    def _microdata(self, element: etree._Element, owner: Node | None) -> tuple[Node | None, list[etree._Element]]:
        names = [term(name) for name in element.get("itemprop", "").split()]
        if element.get("itemscope") is None:
            if names and owner is not None:
                _add(owner, names, self._value(element))
            return owner, []
        parent = owner if names else None
        item = self._graph.add(
            Node(
                "microdata",
                frozenset(term(one) for one in element.get("itemtype", "").split()),
                self._absolute(element.get("itemid", "")),
                parent=parent,
                via=names[0] if names else "",
            )
        )
        if parent is not None:
            _add(parent, names, item)
        references = dict.fromkeys(element.get("itemref", "").split())
        if not references or element in self._followed:
            return item, []
        self._followed.add(element)
        found = [self._target(one) for _, one in zip(range(MAX_INCLUDED_BY_ITEM), references, strict=False)]
        return item, [one for one in reversed(found) if one is not None and self._included.take()]

    def _target(self, identity: str) -> etree._Element | None:
        if self._targets is None:
            self._targets = {}
            wanted = {name for one in self._root.iterfind(".//*[@itemref]") for name in one.get("itemref", "").split()}
            for one in self._root.iterfind(".//*[@id]"):
                if one.get("id") in wanted and len(self._targets) < MAX_INCLUDED:
                    self._targets.setdefault(one.get("id"), one)
        return self._targets.get(identity)

    def _rdfa(self, element: etree._Element, place: _Place) -> tuple[Node | None, tuple[str, ...]]:
        owner, rel = place.rdfa, place.rel
        properties = element.get("property")
        names = (
            tuple(term(one) for one in properties.split() if not one.lower().startswith("og:")) if properties else ()
        )
        links = element.get("rel")
        if links and owner is not None:
            names += tuple(term(one) for one in links.split() if one.lower() not in _LINKS)
        if element.get("typeof") is not None:
            names = names or rel
            parent = owner if names else None
            thing = self._graph.add(
                Node(
                    "rdfa",
                    frozenset(term(one) for one in element.get("typeof", "").split()),
                    self._absolute(element.get("resource") or element.get("about") or ""),
                    parent=parent,
                    via=names[0] if names else "",
                )
            )
            if parent is not None:
                _add(parent, list(names), thing)
            return thing, ()
        if owner is None or not names:
            return owner, rel
        if links and not properties and not element.get("href") and not element.get("resource"):
            return owner, names  # the thing inside is the value
        _add(owner, list(names), self._absolute(element.get("resource", "")) or self._value(element))
        return owner, ()

    def _value(self, element: etree._Element) -> str:
        tag = element.tag
        if content := element.get("content"):  # on any element: not in microdata's standard, but in most shops
            return clean(content)
        if tag in _URL_ATTRIBUTES and (reference := element.get(_URL_ATTRIBUTES[tag])) is not None:
            return self._absolute(reference)
        if tag in _VALUE_ATTRIBUTES and (value := element.get(_VALUE_ATTRIBUTES[tag])) is not None:
            return clean(value)
        if tag == "input" and (value := element.get("value")):
            return clean(value)
        limit = min(MAX_VALUE, self._text.left)
        text = clean(text_of(element, limit, self._steps)) if limit > 0 else ""
        self._text.take(len(text) + 16)
        return text

    def _absolute(self, reference: str) -> str:
        reference = reference.strip()
        try:
            return urljoin(self._base_url, reference)[:MAX_VALUE] if reference else ""
        except ValueError:  # e.g. "http://[": of no use, but no reason to drop the page
            return reference[:MAX_VALUE]


def _add(owner: Node, names: list[str], value: str | Node) -> None:
    for name in names:
        if value != "":
            owner.values.setdefault(name, []).append(value)
