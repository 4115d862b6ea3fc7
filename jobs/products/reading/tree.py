"""Parse HTML as it is found on the web.

libxml2 rather than a parser that builds browsers' exact trees: it stops at 2,048 nested elements, so time and memory
stay in proportion to a page's size. The standard's own algorithm is quadratic there, inside C code that no timeout
interrupts: 3 MB of ``<div>`` would hold a consumer for minutes.
"""

from __future__ import annotations

from lxml import etree

from jobs.products.reading.budget import Allowance

#: Text that is no part of what a reader sees.
UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "title", "textarea", "select", "svg"})
#: Elements that part words as a space does.
_BREAKS = frozenset({"br", "p", "div", "li", "td", "tr", "dt", "dd", "h1", "h2", "h3", "h4", "section", "article"})


def parse_html(html: str) -> etree._Element:
    """Return the root element of `html`; that of an empty page has no children."""
    # Not from text: lxml refuses a str that begins with an XML declaration, as XHTML does.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    return etree.Element("html") if root is None else root


def text_of(element: etree._Element, limit: int, steps: Allowance | None = None) -> str:
    """Return at most `limit` characters of the text in `element`, white space joined.

    Looks at 2,000 elements at most, and uses up `steps`: elements are nested, and each of them is asked for its text.
    """
    parts = [(element.text or "")[: 2 * limit]]
    length = len(parts[0])
    walk = etree.iterwalk(element, events=("start", "end"))
    for count, (event, node) in enumerate(walk):
        if count > 4000 or length > 2 * limit or (steps is not None and not steps.take()):
            break
        if node is element:
            continue
        text = node.tail if event == "end" else None if node.tag in UNSEEN else node.text
        if event == "start":
            if node.tag in UNSEEN:
                walk.skip_subtree()
            elif node.tag in _BREAKS:
                text = f" {text or ''}"
        if text:
            parts.append(text[: 2 * limit])
            length += len(text)
    return " ".join("".join(parts).split())[:limit]
