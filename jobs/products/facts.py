"""What is known of one product, whatever way a page told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

#: https://schema.org/ItemAvailability: what cannot be bought now, and what never will be again.
_SOLD_OUT = frozenset({"OutOfStock", "SoldOut", "Discontinued", "Reserved"})
_GONE = frozenset({"Discontinued"})

#: What an amount is that is not what a shopper pays now for a new one.
PriceKind = Literal[
    "list", "unit", "instalment", "deposit", "membership", "shipping", "fee", "trade-in", "rental", "bulk", "business",
    "used", "refurbished", "damaged", "sold-out", "expired", "later", "net", "other-currency", "dearer",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class OtherPrice:
    """An amount that the page states besides the price."""

    kind: PriceKind
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A price at which the product is sold. `currency` is an ISO 4217 code or ''."""

    price: Decimal | None
    currency: str
    availability: str = ""  #: a name of ItemAvailability, or '' when unknown
    list_price: Decimal | None = None  #: what it costs without a discount
    condition: str = ""  #: '' for new, else "used", "refurbished" or "damaged"
    others: tuple[OtherPrice, ...] = field(default=(), compare=False)  #: what else is stated, and is not the price

    @property
    def available(self) -> bool:
        """Whether it can be bought now, as far as the page says."""
        return self.availability not in _SOLD_OUT

    @property
    def discontinued(self) -> bool:
        """Whether it will never be sold again."""
        return self.availability in _GONE


@dataclass(frozen=True, slots=True)
class Rating:
    """What buyers gave on average, on a scale from 0 to 5; `votes` is None where their number is not told."""

    stars: float
    votes: int | None


@dataclass(frozen=True, slots=True)
class Review:
    """What one buyer wrote, and their stars from 0 to 5 if they gave any."""

    text: str
    stars: float | None


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure the reading of a page is, each from 0 to 1, and what it rests on."""

    identity: float = 1.0  #: that these facts are of the page's own product
    price: float = 1.0  #: that its price is the one that a shopper pays
    evidence: tuple[str, ...] = ()  #: what chose the product: "mainEntity", "url", "heading", "og:title", "title"
    price_sources: tuple[str, ...] = ()  #: who states the price: "json-ld", "microdata", "rdfa", "opengraph", "visible"
    doubts: tuple[str, ...] = ()  #: sentences


@dataclass(frozen=True, slots=True)
class Product:
    """A product; what the page does not tell is None or empty."""

    name: str
    offer: Offer | None = None
    rating: Rating | None = None
    reviews: tuple[Review, ...] = ()
    certainty: Certainty = field(default=Certainty(), compare=False)
