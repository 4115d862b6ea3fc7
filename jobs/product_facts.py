"""What is known of one product, whatever way a page told it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

#: https://schema.org/ItemAvailability: what cannot be bought now, and what never will be again.
_SOLD_OUT = frozenset({"OutOfStock", "SoldOut", "Discontinued"})
_GONE = frozenset({"Discontinued"})


@dataclass(frozen=True, slots=True)
class Offer:
    """A price at which the product is sold. `currency` is an ISO 4217 code or ''."""

    price: Decimal | None
    currency: str
    availability: str = ""  #: a name of ItemAvailability, or '' when unknown
    list_price: Decimal | None = None  #: what it costs without a discount

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
class Product:
    """A product; what the page does not tell is None or empty."""

    name: str
    offer: Offer | None = None
    rating: Rating | None = None
    reviews: tuple[Review, ...] = ()
