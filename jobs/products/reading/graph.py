"""The structured data of a page as one graph of nodes, whichever syntax it was written in.

Names are those of https://schema.org in lower case, without vocabulary, prefix or alias: ``https://schema.org/Price``,
``schema:price`` and an alias of the `@context` are all ``price``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from jobs.products.reading.budget import MAX_LOOSE_JSON, MAX_NODES, MAX_REFERENCES, Allowance
from jobs.products.reading.loose_json import parse_json

Source = Literal["json-ld", "microdata", "rdfa"]

#: Longest text that is kept of a value, in characters.
MAX_VALUE = 10_000
#: Keywords of JSON-LD that schema.org's own context lets pages write without "@".
#: Characters that nobody sees, and halves of characters, which no other program would take.
_NO_TEXT = re.compile("[\u200b\u2060\ufeff\ud800-\udfff]")
_WRITTEN_JSON = frozenset({'{"', "[{", '["'})  #: how a value begins that was encoded once too often
_KEYWORDS = {"@type": "@type", "type": "@type", "@id": "@id", "id": "@id"}


@dataclass(slots=True, eq=False)
class Node:
    """A thing that the page describes. `values` holds texts and other nodes, by property."""

    source: Source
    types: frozenset[str] = frozenset()
    id: str = ""
    values: dict[str, list[str | Node]] = field(default_factory=dict)
    parent: Node | None = None  #: the node that it is written inside
    via: str = ""  #: the property of `parent` that holds it
    position: int = 0  #: counts the nodes of the page

    def text(self, *names: str) -> str:
        """Return the first text of the properties `names`, '' if there is none."""
        return next(self.texts(*names), "")

    def texts(self, *names: str) -> Iterator[str]:
        """Yield the texts of the properties `names`; a node's is its name."""
        for name in names:
            for value in self.values.get(name, ()):
                if text := value if isinstance(value, str) else value.label:
                    yield text

    @property
    def label(self) -> str:
        """Its name, else its value, else its address, else ''."""
        texts = (one for name in ("name", "value") for one in self.values.get(name, ()) if isinstance(one, str))
        return next(texts, self.id)

    def has(self, *names: str) -> bool:
        """Return whether any of the properties has a value."""
        return any(name in self.values for name in names)

    def ancestors(self) -> Iterator[tuple[str, Node]]:
        """Yield the property that holds this node and the node whose it is, from the inside out."""
        node = self
        while node.parent is not None:
            yield node.via, node.parent
            node = node.parent


class Graph:
    """All nodes of a page, and the references between them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._by_id: dict[str, Node] = {}
        self._references = Allowance(MAX_REFERENCES)

    @property
    def is_full(self) -> bool:
        """Whether it holds as many nodes as are read."""
        return len(self.nodes) >= MAX_NODES

    def add(self, node: Node) -> Node:
        """Take in `node`."""
        node.position = len(self.nodes)
        self.nodes.append(node)
        return node

    def link(self) -> None:
        """Find out which nodes are one: to be called when all are in."""
        for node in self.nodes:
            if node.id and node.values:
                first = self._by_id.setdefault(node.id, node)
                if first is not node and first.source == node.source:  # a thing described in several places
                    first.types |= node.types
                    for name, values in node.values.items():
                        first.values.setdefault(name, values)

    def related(self, node: Node, *names: str) -> list[Node]:
        """Return the nodes that the properties `names` of `node` hold or refer to, each once."""
        found: dict[int, Node] = {}
        for name in names:
            for value in node.values.get(name, ()):
                if isinstance(value, Node):
                    if not value.values and value.id and not self._references.take():
                        break
                    target = self.resolved(value)
                    found.setdefault(target.position, target)
        return list(found.values())

    def resolved(self, node: Node) -> Node:
        """Return the full node where `node` is only a reference, or says only a part."""
        return self._by_id.get(node.id, node) if node.id else node


def term(name: str) -> str:
    """Return the last part of a name, in lower case: ``https://schema.org/Offer`` → ``offer``."""
    name = name.strip().rstrip("/#")
    for mark in "/#:":
        name = name.rpartition(mark)[2]
    return name.lower()


def clean(text: str) -> str:
    """Return `text` without entities and markup characters that nobody sees, white space joined, cut."""
    text = text[: 2 * MAX_VALUE]
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if not text.isascii():
        text = _NO_TEXT.sub("", text)
    return " ".join(text.split())[:MAX_VALUE]


def add_json_ld(graph: Graph, data: Any) -> None:
    """Add the nodes of parsed JSON-LD; with a stack of its own, since pages nest as deep as they like."""
    waiting: list[tuple[Any, Node | None, str, dict[str, str]]] = [(data, None, "", {})]
    written_json = Allowance(MAX_LOOSE_JSON)
    terms: dict[str, str] = {}  # what names mean, for those met before
    while waiting and not graph.is_full:
        value, parent, via, aliases = waiting.pop()
        if isinstance(value, list):
            waiting += [(one, parent, via, aliases) for one in reversed(value)]
        elif isinstance(value, dict):
            if "@value" in value:
                waiting.append((value["@value"], parent, via, aliases))
                continue
            aliases = _aliases(value.get("@context"), aliases)
            listed = value.get("@list", value.get("@set"))
            if listed is not None:
                waiting.append((listed, parent, via, aliases))
                continue
            node = graph.add(Node("json-ld", parent=parent, via=via))
            if parent is not None:
                parent.values.setdefault(via, []).append(node)
            inner: list[tuple[Any, Node | None, str, dict[str, str]]] = []
            for key, content in value.items():
                name = _KEYWORDS.get(key) or aliases.get(key) or terms.get(key)
                if name is None:
                    name = terms[key] = key if key.startswith("@") else term(key)
                if name == "@type":
                    node.types = frozenset(term(aliases.get(one, one)) for one in _strings(content))
                elif name == "@id":
                    node.id = next(iter(_strings(content)), "").strip()
                elif name == "@graph":  # a graph's nodes stand beside the one that holds them
                    inner.append((content, None, "", aliases))
                elif name == "@reverse" and isinstance(content, dict):
                    inner += [(one, node, f"^{term(key)}", aliases) for key, one in content.items()]
                elif not name.startswith("@"):
                    inner.append((content, node, name, aliases))
            waiting += reversed(inner)
        elif isinstance(value, str) and value[:2] in _WRITTEN_JSON and written_json.take(len(value)):
            found = parse_json(value)
            waiting.append((found, parent, via, aliases) if found else (f" {value}", parent, via, aliases))
        elif parent is not None and isinstance(value, str | int | float):
            text = clean(str(value).lower() if isinstance(value, bool) else str(value))
            if text:
                parent.values.setdefault(via, []).append(text)


def _aliases(context: Any, known: dict[str, str]) -> dict[str, str]:
    """Return what the names of a `@context` mean, beside those known already."""
    contexts = [one for one in (context if isinstance(context, list) else [context]) if isinstance(one, dict)]
    if not contexts:
        return known
    found = dict(known)
    for one in contexts:
        for name, meaning in list(one.items())[:500]:
            target = meaning.get("@id") if isinstance(meaning, dict) else meaning
            if isinstance(target, str) and not name.startswith("@"):
                if target in {"@type", "@id", "@graph"}:
                    found[name] = target
                elif not target.rstrip().endswith(("/", "#", ":")):  # not a prefix
                    found[name] = term(target)
    return found


def _strings(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
