"""What a product's offers say: each amount, and what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from jobs.products.facts import PriceKind
from jobs.products.reading.graph import Graph, Node, term
from jobs.products.reading.numbers import Amount, currency_of, number, price
from jobs.products.reading.words import availability, condition, fold, kind_of_amount

#: Offers, and amounts of one, that are looked at; a large product group has some thousand variants.
MAX_OFFERS = 5_000
_MAX_DEPTH = 4
#: https://schema.org/PriceTypeEnumeration and PriceComponentTypeEnumeration, folded.
_PRICE_TYPES: dict[str, PriceKind] = {
    **dict.fromkeys(("listprice", "strikethroughprice", "msrp", "srp", "regularprice", "wasprice"), "list"),
    "minimumadvertisedprice": "list",
    **dict.fromkeys(("installment", "instalment", "subscription"), "instalment"),
    **dict.fromkeys(("downpayment", "deposit"), "deposit"),
    **dict.fromkeys(("activationfee", "cleaningfee", "distancefee"), "fee"),
    "invoiceprice": "net",
}  # fmt: skip
_SPECIFICATIONS: dict[str, PriceKind] = {
    "deliverychargespecification": "shipping",
    "offershippingdetails": "shipping",
    "paymentchargespecification": "fee",
    "membershippricespecification": "membership",
}
_FUNCTIONS: dict[str, PriceKind] = {"leaseout": "rental", "buy": "trade-in"}
#: Longer ones are descriptions of the product, not of the offer.
_LONGEST_NAME = 80
#: The first three letters of months, in the languages that write them out.
_MONTHS = {
    **dict.fromkeys(("jan", "ene", "gen", "jän"), 1),
    **dict.fromkeys(("feb", "fév", "fev"), 2),
    **dict.fromkeys(("mar", "mär", "maa", "mrt"), 3),
    **dict.fromkeys(("apr", "abr", "avr"), 4),
    **dict.fromkeys(("may", "mai", "mei", "mag"), 5),
    **dict.fromkeys(("jun", "jui", "giu"), 6),
    **dict.fromkeys(("jul", "lug"), 7),
    **dict.fromkeys(("aug", "ago", "aoû"), 8),
    **dict.fromkeys(("sep", "set"), 9),
    **dict.fromkeys(("oct", "okt", "out", "ott"), 10),
    "nov": 11,
    **dict.fromkeys(("dec", "dez", "dic", "déc"), 12),
}
_WORDED_DATE = re.compile(
    r"\s*(?:(?P<day>\d{1,2})\.?\s+(?:de )?)?(?P<month>[^\W\d_]{3})[^\W\d_]*\.?\s+(?:de )?"
    r"(?:(?P<day_after>\d{1,2}),?\s+)?(?P<year>\d{4})"
)
_KINDS: frozenset[str] = frozenset(
    ("list", "unit", "instalment", "deposit", "membership", "shipping", "trade-in", "used")
)
#: Units that mean "one of them" (UN/CEFACT).
_PIECES = frozenset({"", "c62", "h87", "ea", "pce", "nar", "set", "pr", "piece", "unit", "stk", "st"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One amount that a page states for a product."""

    value: Decimal
    source: str
    currency: str = ""
    other: Decimal | None = None  #: its other reading: "1.299" is 1.299 or 1299
    kind: PriceKind | None = None  #: None for what it costs
    availability: str = ""
    variant: bool = False  #: whether it is of the variant that the page's address names
    is_range: bool = False  #: whether it is the low end of a range
    group: int = 0  #: of which offer


@dataclass(slots=True)
class Stated:
    """All that one description of a product states of its offers."""

    statements: list[Statement] = field(default_factory=list)
    availabilities: list[str] = field(default_factory=list)  #: of offers without an amount
    expired: bool = False  #: whether a statement's dates are over


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is said of an offer by what stands around it."""

    currency: str = ""
    availability: str = ""
    condition: str = ""
    kind: PriceKind | None = None
    variant: bool = False
    group: int = 0


class Reader:
    """Reads the offers of products; `today` decides what their dates mean."""

    def __init__(self, graph: Graph, today: date, page_url: str) -> None:
        self._graph = graph
        self._today = today
        self._page_url = _full(page_url)
        self._offers = 0
        self._stated = Stated()

    def read(self, product: Node) -> Stated:
        """Return what the offers of `product` and of its variants state."""
        self._stated = Stated()
        self._product(product, _Terms(), 0)
        for variant in self._graph.related(product, "hasvariant", "model")[:MAX_OFFERS]:
            if variant is not product:
                self._product(variant, _Terms(variant=self._is_here(variant)), 1)
        if not product.has("offers", "price"):
            for offer in self._beside(product):
                self._offer(offer, _Terms(), 0)
        return self._stated

    def _product(self, product: Node, terms: _Terms, depth: int) -> None:
        terms = replace(
            terms,
            condition=condition(product.text("itemcondition")) or terms.condition,
            availability=availability(product.text("availability")),
            currency=currency_of(product.text("pricecurrency")),
        )
        offers = self._graph.related(product, "offers", "offer")
        for offer in offers[:MAX_OFFERS]:
            self._offer(offer, terms, depth)
        for text in product.texts("offers"):  # "offers": "19.99 EUR"
            if not offers and text[:1].isdigit():
                self._amounts([text], terms, product)
        if not offers and product.has("price", "lowprice"):
            self._amounts(list(product.texts("price", "lowprice")), terms, product)

    def _beside(self, product: Node) -> Iterator[Node]:
        """Yield the offers that stand beside `product` and say that they offer it, or in which it stands."""
        if product.via == "itemoffered" and product.parent is not None:
            yield product.parent
        name = fold(product.text("name"))
        for node in self._graph.nodes:
            if not node.types & {"offer", "aggregateoffer"} or not node.has("itemoffered") or node is product.parent:
                continue
            items = self._graph.related(node, "itemoffered")
            if any(item is product or (name and fold(item.text("name")) == name) for item in items):
                yield node

    def _is_here(self, variant: Node) -> bool:
        """Return whether the page's address is the variant's, of several."""
        urls = [
            *variant.texts("url"),
            variant.id,
            *(url for offer in self._graph.related(variant, "offers")[:2] for url in offer.texts("url")),
        ]
        return any(_full(url) == self._page_url for url in urls if url)

    def _offer(self, node: Node, around: _Terms, depth: int) -> None:
        self._offers += 1
        if self._offers > MAX_OFFERS or depth > _MAX_DEPTH:
            return
        terms = self._terms(node, around)
        before = len(self._stated.statements)
        if inner := self._graph.related(node, "offers"):  # of an AggregateOffer: they rule
            for offer in inner:
                if offer is not node:
                    self._offer(offer, terms, depth + 1)
        if not any(one.kind is None for one in self._stated.statements[before:]):
            kind = _name_kind(node)
            self._amounts(list(node.texts("price")), replace(terms, kind=terms.kind or kind), node)
            if not node.has("price"):
                self._amounts(
                    list(node.texts("lowprice", "minprice"))[:1],
                    terms,
                    node,
                    is_range=node.has("highprice", "maxprice"),
                )
            high = replace(terms, kind="dearer")
            self._amounts(list(node.texts("highprice", "maxprice"))[:1], high, node)
        for specification in self._graph.related(node, "pricespecification")[:50]:
            self._specification(specification, terms, has_price=node.has("price"))
        if len(self._stated.statements) == before and terms.availability:
            self._stated.availabilities.append(terms.availability)

    def _terms(self, node: Node, around: _Terms) -> _Terms:
        item = next((one for one in self._graph.related(node, "itemoffered") if one.has("itemcondition")), None)
        state = next((found for text in node.texts("availability") if (found := availability(text))), "")
        inventory = number(
            next(
                (one.text("value") for one in self._graph.related(node, "inventorylevel")), node.text("inventorylevel")
            )
        )
        if inventory == 0 and state in {"", "InStock"}:
            state = "OutOfStock"
        quantity = next(iter(self._graph.related(node, "eligiblequantity")), None)
        amount = next(iter(self._graph.related(node, "price")), node)  # a MonetaryAmount
        kind = around.kind or _FUNCTIONS.get(term(node.text("businessfunction")))
        if (
            kind is None
            and quantity is not None
            and (number(quantity.text("minvalue") or quantity.text("value")) or 1) > 1
        ):
            kind = "bulk"
        customers = term(node.text("eligiblecustomertype"))
        if kind is None and customers in {"business", "reseller", "publicinstitution"}:
            kind = "business"
        elif kind is None and "member" in customers:
            kind = "membership"
        if kind is None and node.has("validformembertier"):
            kind = "membership"
        return _Terms(
            currency_of(node.text("pricecurrency", "currency") or amount.text("currency")) or around.currency,
            state or around.availability,
            condition(node.text("itemcondition"))
            or (condition(item.text("itemcondition")) if item else "")
            or around.condition,
            kind or self._dated(node),
            around.variant
            or (
                bool(self._page_url)
                and any(_full(url) == self._page_url for url in node.texts("url"))
                and "?" in self._page_url
            ),
            self._offers,
        )

    def _dated(self, node: Node) -> PriceKind | None:
        """Return "expired" or "later" where the dates of an offer or a price leave today out."""
        end = parse_date(node.text("pricevaliduntil", "validthrough", "availabilityends"))
        begin = parse_date(node.text("validfrom", "availabilitystarts"))
        if end and end < self._today:
            return "expired"
        return (
            "later" if begin and begin > self._today and availability(node.text("availability")) != "PreOrder" else None
        )

    def _specification(self, node: Node, around: _Terms, *, has_price: bool) -> None:
        kind = self._specification_kind(node) or around.kind or self._dated(node)
        terms = replace(around, currency=currency_of(node.text("pricecurrency")) or around.currency, kind=kind)
        if has_price and kind is None and not _is_sale(node):
            return  # it says the offer's own price once more, or some part of it
        texts = list(node.texts("price")) or list(node.texts("minprice"))[:1]
        self._amounts(texts, terms, node, is_range=not node.has("price"))

    def _specification_kind(self, node: Node) -> PriceKind | None:
        for name in ("pricetype", "pricecomponenttype"):
            for text in node.texts(name):
                if kind := _PRICE_TYPES.get(re.sub(r"[\W_]", "", term(text))):
                    return kind
        if kind := next((_SPECIFICATIONS[one] for one in node.types if one in _SPECIFICATIONS), None):
            return kind
        if node.has("billingduration", "billingincrement", "billingperiod") or term(node.text("unitcode")) in {
            "mon",
            "ann",
            "wee",
            "day",
        }:
            return "instalment"
        if node.has("validformembertier", "membershippointsearned"):
            return "membership"
        reference = next(iter(self._graph.related(node, "referencequantity")), None)
        if reference is not None and not reference.has("valuereference"):
            unit = reference.text("unitcode", "unittext").lower()
            if unit not in _PIECES or (number(reference.text("value")) or 1) != 1:
                return "unit"
        if node.text("unittext").lower() in {"month", "monat", "mois", "mes", "week", "year"}:
            return "instalment"
        quantity = next(iter(self._graph.related(node, "eligiblequantity")), None)
        if quantity is not None and (number(quantity.text("minvalue") or quantity.text("value")) or 1) > 1:
            return "bulk"
        if node.text("valueaddedtaxincluded").lower() in {"false", "0", "no"}:
            return "net"
        return _name_kind(node)

    def _amounts(self, texts: list[str], terms: _Terms, node: Node, *, is_range: bool = False) -> None:
        """Note the amounts of one price; of several, the lowest is what it costs, and a higher one what it did."""
        found: list[Amount] = []
        for text in texts[:10]:
            amount = price(text, terms.currency)
            if amount is not None and all(amount.value != one.value for one in found):
                found.append(amount)
        found.sort(key=lambda one: (one.kind != "", one.value))
        for at, amount in enumerate(found):
            kind: PriceKind | None = terms.kind or (amount.kind if amount.kind in _KINDS else None)  # type: ignore[assignment]
            if at and kind is None:
                kind = "list"
            if kind is None and terms.condition not in {"", "new"}:
                kind = terms.condition  # type: ignore[assignment]
            self._note(
                Statement(
                    amount.value,
                    node.source,
                    terms.currency or amount.currency,
                    amount.other,
                    kind,
                    terms.availability,
                    terms.variant,
                    is_range,
                    terms.group,
                )
            )

    def _note(self, statement: Statement) -> None:
        if len(self._stated.statements) < 2 * MAX_OFFERS:
            self._stated.statements.append(statement)


def _is_sale(node: Node) -> bool:
    return any(term(one) == "saleprice" for one in node.texts("pricetype"))


def _name_kind(node: Node) -> PriceKind | None:
    """Return the kind that an offer's or a price's own name says: ``"name": "Trade-in"``."""
    for text in node.texts("name", "category", "description"):
        if len(text) <= _LONGEST_NAME:
            for kind in (kind_of_amount(f"{text} ", ""), kind_of_amount("", f" {text}")):
                if kind in _KINDS - {"list"}:
                    return kind  # type: ignore[return-value]
    return None


def parse_date(text: str) -> date | None:
    """Return the day of a date as shops write them, or None: ``2026-12-31T23:59``, ``31.12.2026``, ``12/31/2026``."""
    if found := re.match(r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", text):
        year, month, day = map(int, found.groups())
    elif found := re.match(r"\s*(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", text):
        day, month, year = int(found[1]), int(found[3]), int(found[4])
        if month > 12 or (found[2] == "/" and day <= 12 < month):
            day, month = month, day
    elif found := re.fullmatch(r"\s*(\d{4})(\d\d)(\d\d)\s*", text):
        year, month, day = map(int, found.groups())
    elif (found := _WORDED_DATE.match(text)) and (month := _MONTHS.get(found["month"].lower(), 0)):
        day, year = int(found["day"] or found["day_after"] or 28), int(found["year"])
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _full(url: str) -> str:
    """Return an address with all that tells variants apart: host, path and query."""
    url = url.strip().partition("#")[0]
    return re.sub(r"^https?://(?:www\.)?", "", url).rstrip("/").lower()
