"""Read microdata (HTML §5.2) into the shape that JSON-LD has, so that one reader serves both."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

from lxml import etree

from jobs.html_tree import visible_text

#: ``{"@type": ["https://schema.org/Product"], "@id": …, "name": ["Lamp"], "offers": [{…}]}``
Item = dict[str, Any]

#: Longest text that an element gives, in characters: nested elements repeat their text.
_MAX_TEXT = 10_000
#: Most elements looked at, several times what large shops have. References let a page be walked for ever.
_MAX_ELEMENTS = 200_000

_URL_ATTRIBUTES = {
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
    "object": "data",
}
_VALUE_ATTRIBUTES = {"meta": "content", "data": "value", "meter": "value", "time": "datetime"}


def read_microdata(root: etree._Element, base_url: str) -> list[Item]:
    """Return the top-level items of a page, in document order; URLs are made absolute with `base_url`."""
    found: list[Item] = []
    referred: set[etree._Element] = set()  # whose itemref was followed: references may form circles
    targets: dict[str, etree._Element] | None = None
    waiting: list[tuple[etree._Element, Item | None]] = []
    if root.find(".//*[@itemscope]") is not None:  # most pages have none
        waiting.append((root, None))
    looked_at = 0
    while waiting and looked_at < _MAX_ELEMENTS:
        looked_at += 1
        element, owner = waiting.pop()
        if not isinstance(element.tag, str):  # a comment
            continue
        names = element.get("itemprop", "").split()
        if element.get("itemscope") is not None:
            item = _new_item(element)
            if not names:
                found.append(item)
            elif owner is not None:
                _add(owner, names, item)
            owner = item
            if (references := element.get("itemref", "").split()) and element not in referred:
                referred.add(element)
                if targets is None:
                    targets = {one.get("id"): one for one in root.iterfind(".//*[@id]")}
                waiting += [(targets[reference], item) for reference in references if reference in targets]
        elif names and owner is not None:
            _add(owner, names, _value(element, base_url))
        waiting += [(child, owner) for child in reversed(element)]
    return found


def _new_item(element: etree._Element) -> Item:
    item: Item = {"@type": element.get("itemtype", "").split()}
    if identity := element.get("itemid"):
        item["@id"] = identity
    return item


def _add(owner: Item, names: list[str], value: str | Item) -> None:
    for name in names:
        if not name.startswith("@"):  # "@type" is the item's own
            owner.setdefault(name, []).append(value)


def _value(element: etree._Element, base_url: str) -> str:
    tag = element.tag
    if tag in _URL_ATTRIBUTES:
        return _absolute(base_url, element.get(_URL_ATTRIBUTES[tag], ""))
    if tag in _VALUE_ATTRIBUTES and (value := element.get(_VALUE_ATTRIBUTES[tag])) is not None:
        return str(value).strip()
    if content := element.get("content"):  # on any element: not in the standard, but in most shops
        return str(content).strip()
    return visible_text(element, _MAX_TEXT)


def _absolute(base_url: str, reference: str) -> str:
    try:
        return urljoin(base_url, reference.strip())
    except ValueError:  # e.g. "http://[": of no use, but no reason to drop the page
        return reference
