"""What a page says of itself, to people and to machines: its address, titles, properties, and the text that is seen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import unquote, urljoin, urlsplit

from lxml import etree

from jobs.products.reading.budget import MAX_ELEMENTS, Allowance, Clock
from jobs.products.reading.graph import clean
from jobs.products.reading.markup import Markup
from jobs.products.reading.numbers import amounts
from jobs.products.reading.tree import UNSEEN, text_of
from jobs.products.reading.words import says_sold_out

#: Longest title that is kept, in characters.
MAX_TITLE = 300
#: Characters of seen text, and amounts of money in it, that are looked at.
_MAX_TEXT = 200_000
_MAX_AMOUNTS = 300
_MAX_PROPERTIES = 500

#: Parts of a page that speak of other products, by what templates call them.
_ELSEWHERE = re.compile(
    r"(?:^|[-_\s])(?:related|recommend\w*|recs?|similar|up-?sells?|cross-?sells?|also|bought-together|fbt|carousel|recently|viewed|"
    r"accessor\w*|bundle\w*|sponsor\w*|suggest\w*|mini-?cart|cart-drawer|drawer|nav\w*|menu|footer|breadcrumbs?|mega\w*|compare-products|"
    r"empfehl\w*|aehnliche|zubehoer|warenkorb)(?=$|[-_\s])",
    re.IGNORECASE,
)
_ELSEWHERE_TAGS = frozenset({"nav", "footer", "aside"})
_OTHER_HEADINGS = re.compile(
    r"(?:you (?:may|might)(?: also)? like|also (?:bought|viewed|like)|related products|similar (?:products|items)|recommended|"
    r"frequently bought|recently viewed|more from|ähnliche|das könnte|wird oft|zuletzt angesehen|kunden kauften|vous aimerez|"
    r"produits similaires|también te|productos (?:relacionados|similares)|potrebbe(?:ro)? (?:interessarti|piacerti)|prodotti (?:simili|correlati)|"
    r"você também|produtos (?:relacionados|semelhantes)|vergelijkbare|anderen (?:bekeken|kochten)|podobne produkty|zobacz także|"
    r"похожие|с этим товаром|関連商品|おすすめ|相关|相關|推荐|benzer ürünler|연관|추천)",
    re.IGNORECASE,
)
_STRUCK_TAGS = frozenset({"s", "del", "strike"})
_STRUCK = re.compile(
    r"(?:^|[-_\s])(?:old|was|strike\w*|struck|line-?through|regular|list|rrp|uvp|msrp|original|compare(?:-at)?|before|crossed|previous|prev|"
    r"pseudo|instead)(?=$|[-_\s])",
    re.IGNORECASE,
)
_UNIT = re.compile(r"(?:^|[-_\s])(?:unit|base|per-unit|basic|grund)-?(?:price|preis)", re.IGNORECASE)
_INSTALMENT = re.compile(r"(?:instal|financ|klarna|affirm|afterpay|monthly|parcel|cuotas|ratenzahl)", re.IGNORECASE)
_PRICE = re.compile(r"(?:price|preis|prix|precio|prezzo|preco|prijs|cena|fiyat|amount|kakaku)", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLOCKS = frozenset(
    [
        "p", "div", "li", "td", "th", "tr", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
        "main", "form", "table", "ul", "ol", "button", "br", "hr", "header", "aside",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeenAmount:
    """An amount of money that a reader of the page sees. `place` counts from the page's start."""

    value: Decimal
    other: Decimal | None
    currency: str
    kind: str  #: '' for what a thing costs; see `words.kind_of_amount`
    place: int
    in_price: bool  #: whether the template calls the element around it a price


@dataclass(slots=True)
class PageFacts:
    """A page without its structured data."""

    url: str
    canonical: str = ""
    title: str = ""
    headings: list[str] = field(default_factory=list)  #: those of the first level
    properties: dict[str, str] = field(default_factory=dict)  #: the first value of each <meta>, e.g. ``og:title``
    language: str = ""  #: "de", or '' when the page does not say
    seen: list[SeenAmount] = field(default_factory=list)
    text: str = ""  #: what is seen, without other products', cut
    seen_length: int = 0  #: characters that are seen in all
    says_sold_out: bool = False  #: whether an element of the page's own product says no more than that
    after_heading: int = -1  #: the place of the first heading
    json_ld: int = 0  #: how many blocks of JSON-LD it has, readable or not
    scripts: int = 0  #: how many others
    empty_roots: bool = False  #: whether it has an empty element that a script is meant to fill
    passwords: int = 0
    links: int = 0
    cut: bool = False

    @property
    def names(self) -> list[str]:
        """Titles of the page, those that name the product alone first."""
        candidates = [
            *self.headings[:2],
            self.properties.get("og:title", ""),
            self.properties.get("twitter:title", ""),
            self.title,
        ]
        return list(dict.fromkeys(one for one in candidates if one))

    @property
    def addresses(self) -> set[str]:
        """The page's addresses, in the form of `address_key`."""
        candidates = (self.canonical, self.properties.get("og:url", ""), self.url)
        return {key for one in candidates if (key := address_key(one, self.url))}


def address_key(url: str, base: str = "") -> str:
    """Return what addresses of one page share: host without www, and path; '' for a front page."""
    try:
        parts = urlsplit(urljoin(base, url.strip()[:4096]))
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    except ValueError:
        return ""
    path = unquote(parts.path).rstrip("/").removesuffix("/index.html").lower()
    if parts.scheme not in {"http", "https"} or not host or (not path and not parts.query):
        return ""
    identifying = sorted(part for part in parts.query.split("&") if part.partition("=")[0].lower() in _IDENTIFYING)
    return f"{host}{path}?{'&'.join(identifying)}"


#: Parameters by which old shops tell their pages apart.
_IDENTIFYING = frozenset(
    [
        "id", "pid", "p", "product", "product_id", "productid", "item", "itemid", "sku", "artikel", "art", "prod",
        "gid", "route",
    ]
)  # fmt: skip


def read_facts(root: etree._Element, markup: Markup, url: str, clock: Clock) -> PageFacts:
    """Look at the whole page once."""
    facts = PageFacts(url, json_ld=len(markup.json_ld), scripts=markup.scripts, cut=markup.cut)
    facts.language = (root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "")[:2].lower()
    base = root.find(".//base[@href]")
    facts.url = _joined(url, base.get("href", "")) if base is not None else url
    for meta in root.iter("meta"):
        name = (meta.get("property") or meta.get("name") or "").strip().lower()[:80]
        content = meta.get("content") or ""
        if name and content.strip() and len(facts.properties) < _MAX_PROPERTIES:
            facts.properties.setdefault(name, clean(content)[:1000])
    for link in root.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split() and link.get("href"):
            facts.canonical = _joined(facts.url, link.get("href"))
            break
    title = root.find(".//title")
    facts.title = "" if title is None else clean("".join(title.itertext())[:2000])[:MAX_TITLE]
    facts.passwords = sum(1 for one in root.iter("input") if (one.get("type") or "").lower() == "password")
    _Seen(facts, clock).walk(root)
    return facts


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference.strip()[:4096])
    except ValueError:
        return base


@dataclass(frozen=True, slots=True)
class _Style:
    """How the text of an element is meant."""

    elsewhere: bool = False
    kind: str = ""
    in_price: bool = False


class _Seen:
    """Collects what is seen of a page, in one walk."""

    def __init__(self, facts: PageFacts, clock: Clock) -> None:
        self._facts = facts
        self._clock = clock
        self._style = _Style()
        self._parts: list[str] = []  #: of text in one style
        self._kept: list[str] = []
        self._length = 0
        self._context = ""
        self._other_section: int | None = None  #: how deep the section of other products begins
        self._depth = 0
        self._searches = Allowance(100)

    def walk(self, root: etree._Element) -> None:
        """Look at every element that is seen."""
        styles = [_Style()]
        elements = Allowance(2 * MAX_ELEMENTS)
        steps = Allowance(MAX_ELEMENTS)
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if not elements.take():
                break
            if elements.left % 1024 == 0:
                self._clock.check()
            if event == "start":
                self._depth += 1
                styles.append(self._styled(element, styles[-1], steps))
                if (
                    element.tag in UNSEEN
                    or element.get("hidden") is not None
                    or _HIDDEN.search(element.get("style") or "")
                ):
                    walk.skip_subtree()
                    continue
                self._text(element.text, styles[-1], element.tag in _BLOCKS)
            else:
                self._depth -= 1
                styles.pop()
                if self._other_section is not None and self._depth < self._other_section:
                    self._other_section = None
                self._text(element.tail, styles[-1], element.tag in _BLOCKS)
        self._flush()
        self._facts.text = " ".join(" ".join(self._kept).split())

    def _styled(self, element: etree._Element, around: _Style, steps: Allowance) -> _Style:
        tag = element.tag
        facts = self._facts
        if tag == "a":
            facts.links += 1
        elif tag == "h1":
            if len(facts.headings) < 5 and (heading := clean(text_of(element, MAX_TITLE, steps))):
                facts.headings.append(heading)
                self._flush()
                if facts.after_heading < 0:
                    facts.after_heading = self._length
        elif (
            self._other_section is None
            and tag in {"h2", "h3", "h4"}
            and _OTHER_HEADINGS.search(text_of(element, 80, steps))
        ):
            self._other_section = self._depth - 1
        names = f"{element.get('class') or ''} {element.get('id') or ''}"[:300]
        if tag == "div" and not facts.empty_roots and len(element) == 0 and not (element.text or "").strip():
            facts.empty_roots = (element.get("id") or "").lower() in _ROOTS
        elsewhere = (
            around.elsewhere
            or tag in _ELSEWHERE_TAGS
            or self._other_section is not None
            or (names != " " and tag not in _WHOLE and self._is_elsewhere(element, names))
        )
        kind = around.kind
        in_price = around.in_price
        if names != " ":
            in_price = in_price or _PRICE.search(names) is not None
            if not kind and tag not in _WHOLE:
                kind = (
                    "unit" if _UNIT.search(names)
                    else "instalment" if _INSTALMENT.search(names)
                    else "list" if in_price and _STRUCK.search(names)
                    else ""
                )  # fmt: skip
        if tag in _STRUCK_TAGS or "line-through" in (element.get("style") or ""):
            kind = "list"
        if element.get("itemprop") in {"price", "lowPrice"}:
            in_price = True
        if not elsewhere and not facts.says_sold_out and (tag == "button" or _STATE.search(names)):
            text = (element.text or "").strip()
            facts.says_sold_out = len(element) == 0 and bool(text) and says_sold_out(text)
        style = _Style(elsewhere, kind, in_price)
        return around if style == around else style

    def _is_elsewhere(self, element: etree._Element, names: str) -> bool:
        """Return whether a part is called as those of other products are; what holds the heading is none of them."""
        return _ELSEWHERE.search(names) is not None and self._searches.take() and element.find(".//h1") is None

    def _text(self, text: str | None, style: _Style, parted: bool) -> None:
        if style is not self._style and style != self._style:
            self._flush()
            self._style = style
        if parted:
            self._parts.append(" | ")
        if text:
            self._parts.append(text[:_MAX_TEXT])
            self._facts.seen_length += len(text.strip())

    def _flush(self) -> None:
        if not self._parts:
            return
        text = " ".join("".join(self._parts).split())
        self._parts = []
        if self._style.elsewhere or self._length > _MAX_TEXT or not text:
            return
        style, facts = self._style, self._facts
        has_digits = _DIGIT.search(text) is not None
        if has_digits and len(facts.seen) < _MAX_AMOUNTS:
            for start in range(0, min(len(text), _MAX_TEXT), 10_000):
                part = text[start : start + 10_000]
                context = self._context if start == 0 else ""
                for one in amounts(f"{context}{part}"):
                    if len(facts.seen) >= _MAX_AMOUNTS:
                        break
                    facts.seen.append(
                        SeenAmount(
                            one.value, one.other, one.currency, style.kind or one.kind, self._length, style.in_price
                        )
                    )
        self._context = "" if has_digits else f"{text[-40:]} "
        self._kept.append(text)
        self._length += len(text) + 1


_WHOLE = frozenset({"html", "body", "main"})
_STATE = re.compile(r"stock|avail|lager|dispo|sold|voorraad|zaiko|nalichie", re.IGNORECASE)
_ROOTS = frozenset(
    {
        "root",
        "app",
        "__next",
        "__nuxt",
        "___gatsby",
        "main-app",
        "react-root",
        "app-root",
        "svelte",
        "q-app",
        "ember-app",
    }
)
