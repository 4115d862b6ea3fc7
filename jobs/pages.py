"""Read what a page says about itself for machines: JSON-LD, microdata, OpenGraph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lxml import etree

from jobs.html_tree import parse_html, visible_text
from jobs.microdata import Item, read_microdata

#: Longest title that is kept, in characters.
MAX_TITLE = 300
#: What stands around the JSON in pages that were once meant to be XHTML, or hidden from old browsers.
_WRAPPERS = (("<!--", "-->"), ("//<![CDATA[", "//]]>"), ("/*<![CDATA[*/", "/*]]>*/"), ("<![CDATA[", "]]>"))


@dataclass(frozen=True, slots=True)
class PageData:
    """The structured data of one page, by the way it was written down."""

    json_ld: tuple[Any, ...]  #: the content of each readable block, parsed
    microdata: tuple[Item, ...]
    opengraph: dict[str, str]  #: the first value of each property, e.g. ``og:title``, ``product:price:amount``
    title: str


def read_page(html: str, url: str) -> PageData:
    """Parse `html`, which came from `url`. Never fails: unreadable parts count as missing, as in browsers."""
    root = parse_html(html)
    title = root.find(".//title")
    return PageData(
        json_ld=tuple(_json_ld(root)),
        microdata=tuple(read_microdata(root, url)),
        opengraph=_opengraph(root),
        title="" if title is None else visible_text(title, MAX_TITLE),
    )


def _json_ld(root: etree._Element) -> list[Any]:
    blocks = []
    for script in root.iter("script"):
        if not script.get("type", "").strip().lower().startswith("application/ld+json"):
            continue
        try:
            blocks.append(json.loads(_unwrapped(script.text or ""), strict=False))
        except (ValueError, RecursionError):  # one broken block must not hide the others
            continue
    return blocks


def _unwrapped(text: str) -> str:
    text = text.strip()
    for opening, closing in _WRAPPERS:
        if text.startswith(opening):
            return text.removeprefix(opening).removesuffix(closing).strip()
    return text.removesuffix(";")


def _opengraph(root: etree._Element) -> dict[str, str]:
    properties: dict[str, str] = {}
    for meta in root.iter("meta"):
        name = (meta.get("property") or meta.get("name") or "").strip().lower()
        content = meta.get("content", "").strip()
        if content and name.startswith(("og:", "product:")):
            properties.setdefault(name, content)
    return properties
