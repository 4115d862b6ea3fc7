"""Split the text of a page, once and in linear time, into the markup to parse and the scripts beside it.

libxml2 is fast and safe in most ways, but compares each attribute of a tag with all others, and builds whatever tree it
is told. So it is given a text that keeps `budget`'s limits, without comments, scripts and styles. JSON-LD is taken
from here, not from the tree: the tree ends where a page nests deeper than libxml2 goes.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from jobs.products.reading.budget import MAX_ATTRIBUTES, MAX_ATTRIBUTES_OF_TAG, MAX_JSON_BLOCKS, MAX_TAGS

#: One attribute, and the characters before it, as browsers' tokenizers take them; a quote left open reaches to the end.
_ATTRIBUTE = (
    r"""[\s/]*+(?P<name>[^\s/>][^\s/>=]*+)"""
    r"""(?:\s*+=\s*+(?:"(?P<double>[^"]*+)(?:"|\Z)|'(?P<single>[^']*+)(?:'|\Z)|(?P<bare>[^\s>]*+)))?+"""
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_UNNAMED = re.sub(r"\?P<\w+>", "?:", _ATTRIBUTE)
#: Every alternative takes what it began to the end of the text at worst: nothing is looked at twice.
_TOKENS = re.compile(
    rf"""<!--(?:-?>|.*?(?:--!?>|\Z))
      |<(?P<raw>script|style)(?=[\s/>])(?P<of_raw>(?:{_UNNAMED})*+[\s/]*+)>?+(?P<content>.*?)(?:</(?P=raw)(?=[\s/>])[^>]*+>?+|\Z)
      |<[!?][^>]*+>?+
      |<(?P<end>/?)(?P<tag>[a-zA-Z][^\s/>]*+)(?P<of_tag>(?:{_UNNAMED})*+)[\s/]*+>?+
      |</[^>]*+>?+""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(slots=True)
class Markup:
    """A page's text, split. `cut` says that it was longer than may be read."""

    text: str  #: without scripts, styles, comments
    json_ld: list[str] = field(default_factory=list)  #: the content of each such script
    scripts: int = 0  #: how many others there are
    cut: bool = False


def split_markup(page: str) -> Markup:
    """Split the text of `page`."""
    page = page.replace("\0", "")
    kept: list[str] = []
    json_ld: list[str] = []
    scripts = 0
    end = attributes = 0
    cut = False
    for tags, token in enumerate(_TOKENS.finditer(page), start=1):
        kept.append(page[end : token.start()])
        end = token.end()
        if raw := token["raw"]:
            if raw.lower() == "style":
                pass
            elif len(json_ld) < MAX_JSON_BLOCKS and "ld+json" in _type(token["of_raw"]):
                json_ld.append(token["content"])
            else:
                scripts += 1
        elif token["tag"]:
            if token["end"]:
                kept.append(f"</{token['tag']}>")
            elif token["of_tag"]:
                text = token[0]
                counted = zip(range(MAX_ATTRIBUTES_OF_TAG + 1), _ATTRIBUTES.finditer(token["of_tag"]), strict=False)
                found = sum(1 for _ in counted)
                if found > MAX_ATTRIBUTES_OF_TAG:
                    text = _shortened(token)
                    found = MAX_ATTRIBUTES_OF_TAG
                attributes += found
                kept.append(text)
            else:
                kept.append(token[0])
        if tags >= MAX_TAGS or attributes >= MAX_ATTRIBUTES:
            cut = end < len(page)
            break
    else:
        kept.append(page[end:])
    return Markup("".join(kept), json_ld, scripts, cut)


def _shortened(token: re.Match[str]) -> str:
    """Return a start tag with as many attributes as may be read."""
    end = 0
    for _, attribute in zip(range(MAX_ATTRIBUTES_OF_TAG), _ATTRIBUTES.finditer(token["of_tag"]), strict=False):
        end = attribute.end()
    return f"<{token['tag']}{token['of_tag'][:end]}>"


def _type(attributes: str) -> str:
    """Return the type that a script's attributes say."""
    for _, one in zip(range(MAX_ATTRIBUTES_OF_TAG), _ATTRIBUTES.finditer(attributes), strict=False):
        if one["name"].lower() == "type":
            return html.unescape(one["double"] or one["single"] or one["bare"] or "").lower()
    return ""
