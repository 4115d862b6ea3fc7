"""Parse HTML as it is found on the web.

libxml2 rather than a parser that builds browsers' exact trees: it stops at 256 nested elements, so time and
memory stay in proportion to a page's size. The standard's own algorithm is quadratic there, inside C code
that no timeout interrupts: 3 MB of ``<div>`` would hold a consumer for minutes.
"""

from __future__ import annotations

from lxml import etree

#: Text that a reader sees: without scripts and styles.
_TEXTS = etree.XPath("descendant-or-self::text()[not(parent::script or parent::style)]")


def parse_html(html: str) -> etree._Element:
    """Return the root element of `html`; that of an empty page has no children."""
    # Not from text: lxml refuses a str that begins with an XML declaration, as XHTML does.
    root = etree.fromstring(html.encode("utf-8", "replace"), etree.HTMLParser(encoding="utf-8"))
    return etree.Element("html") if root is None else root


def visible_text(element: etree._Element, limit: int) -> str:
    """Return at most `limit` characters of the text in `element`, white space joined."""
    return " ".join("".join(_TEXTS(element)).split())[:limit]
