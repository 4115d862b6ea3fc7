"""Which of the stated amounts is the price: what a shopper pays now for a new one that can be bought.

Each source (JSON-LD, microdata, RDFa, OpenGraph) is first read by itself; then they vote, and the text that people see
votes with them, and breaks ties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from jobs.products.facts import Offer, OtherPrice, PriceKind
from jobs.products.reading.offers import Stated, Statement
from jobs.products.reading.page import PageFacts, SeenAmount

#: What the text that people see counts in a vote, where each source counts 1: it beats one, and breaks a tie of more.
_SEEN_WEIGHT = 1.5
#: Amounts that differ by less are the same, rounded.
_ROUNDING = Decimal("0.005")
#: Other amounts that are told.
_MOST_OTHERS = 12
_SOLD_OUT = frozenset({"OutOfStock", "SoldOut", "Discontinued", "Reserved"})
_THREE_PLACES = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
#: Currencies whose amounts have no decimal places in shops.
_NO_PLACES = frozenset(["JPY", "KRW", "VND", "CLP", "PYG", "ISK", "IDR", "COP", "UGX", "XAF", "XOF", "HUF"])
#: What is taken for the price when nothing better is stated, best first.
_SECOND_BEST: tuple[PriceKind, ...] = (
    "expired",
    "refurbished",
    "used",
    "damaged",
    "net",
    "business",
    "later",
    "dearer",
)


@dataclass(frozen=True, slots=True)
class Pricing:
    """The price, who states it, and how sure it is, from 0 to 1."""

    offer: Offer | None
    certainty: float = 1.0
    sources: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Position:
    """What one source says the price is."""

    source: str
    price: Statement
    pool: list[Statement]
    second_best: PriceKind | None = None


def decide(stated: list[tuple[str, Stated]], facts: PageFacts) -> Pricing:
    """Decide on the price; `stated` is what each source says, best first."""
    statements = [one for _, source in stated for one in source.statements]
    currency = _page_currency(stated, facts)
    settle = _Settling(statements, facts)
    settled = [(name, [settle.settled(one) for one in source.statements]) for name, source in stated]
    positions = [one for name, found in settled if (one := _position(name, found, currency, facts))]
    state, state_doubts = _availability(stated, positions, facts)
    if not positions:
        return _without_structured_price(stated, facts, state)
    price, sources, certainty, doubts = _vote(positions, facts)
    doubts += state_doubts
    if state_doubts:
        certainty = min(certainty, 0.6)
    winner = next((one for one in positions if one.source in sources), positions[0])
    if settle.is_unsure:
        certainty = min(certainty, 0.5)
        doubts.append("The price may be a thousand times as high: nothing else on the page says how its dot is meant.")
    if winner.second_best == "expired":
        certainty = min(certainty, 0.85)
        doubts.append("The page says that its price held until a day that is over.")
    elif winner.second_best is not None and winner.second_best not in {"used", "refurbished", "damaged"}:
        certainty = min(certainty, 0.6)
    every = [one for _, found in settled for one in found]
    list_price = _list_price(price, every, facts)
    offer = Offer(
        price,
        winner.price.currency or currency,
        state,
        list_price,
        winner.second_best if winner.second_best in {"used", "refurbished", "damaged"} else "",
        tuple(one for one in _others(price, winner, every) if one.kind != "list" or one.amount != list_price),
    )
    return Pricing(offer, round(certainty, 2), tuple(sources), tuple(doubts))


def _position(source: str, statements: list[Statement], currency: str, facts: PageFacts) -> _Position | None:
    """Return what `statements`, all of one source, say the price is."""
    current = [one for one in statements if one.kind is None]
    second_best = None
    for kind in _SECOND_BEST:
        if current:
            break
        current = [one for one in statements if one.kind == kind]
        second_best = kind
    if not current:
        return None
    current = [one for one in current if one.variant] or current
    wanted = currency if any(one.currency == currency for one in current) else current[0].currency
    current = [one for one in current if one.currency == wanted]
    lowest: dict[int, Statement] = {}
    for one in current:  # of an offer that states two, the lower one is the price
        known = lowest.get(one.group)
        if known is None or one.value < known.value:
            lowest[one.group] = one
    pool = list(lowest.values())
    pool = [one for one in pool if one.availability not in _SOLD_OUT] or pool
    pool.sort(key=lambda one: one.value)
    shown = [one for one in pool[:50] if _is_seen(one.value, facts)]
    return _Position(source, (shown or pool)[0], pool, second_best)


class _Settling:
    """Chooses between the readings of numbers that have two, by the rest of the page."""

    def __init__(self, statements: list[Statement], facts: PageFacts) -> None:
        stated = {one.value: None for one in statements if one.other is None}
        seen = {one.value: None for one in facts.seen if one.other is None and one.kind in {"", "list"}}
        self._stated = set(stated)
        self._sure = [*list(stated)[:50], *list(seen)[:50]]
        self._seen = {one.value for one in facts.seen}
        self.is_unsure = False  #: whether a price was met that nothing else on the page makes clear

    def settled(self, one: Statement) -> Statement:
        """Return `one` with the reading of its number that the rest of the page bears out."""
        if one.other is None or one.currency in _THREE_PLACES:
            return one
        if one.value in self._stated or one.value in self._seen:
            return one
        if (
            one.other in self._stated
            or one.other in self._seen
            or (one.currency in _NO_PLACES and one.other > one.value)
            or (self._is_near(one.other) and not self._is_near(one.value))
        ):
            return replace(one, value=one.other, other=None)
        if one.other > one.value and one.kind is None:
            self.is_unsure = True
        return one

    def _is_near(self, value: Decimal) -> bool:
        """Return whether an amount that can be read in one way only is of the same size."""
        return value > 0 and any(value < 4 * sure and sure < 4 * value for sure in self._sure)


def _vote(positions: list[_Position], facts: PageFacts) -> tuple[Decimal, list[str], float, list[str]]:
    """Return the price, who states it, how sure that is, and doubts."""
    votes: list[tuple[Decimal, list[str]]] = []
    for position in positions:
        for value, sources in votes:
            if _same(value, position.price.value):
                sources.append(position.source)
                break
        else:
            votes.append((position.price.value, [position.source]))
    currency = positions[0].price.currency
    shown = next((value for value, _ in votes if _is_seen(value, facts)), None)
    prominent = _prominent(facts, currency)
    if shown is not None:
        next(sources for value, sources in votes if value == shown).append("visible")
    elif prominent is not None:
        pooled = {one.value for position in positions for one in position.pool}
        if not any(_same(prominent.value, value) for value in pooled):
            votes.append((prominent.value, ["visible"]))
    weights = {value: sum(_SEEN_WEIGHT if one == "visible" else 1.0 for one in sources) for value, sources in votes}
    price, sources = max(votes, key=lambda vote: weights[vote[0]])
    total = sum(weights.values())
    certainty = weights[price] / total
    doubts = []
    if len(votes) > 1:
        told = ", ".join(f"{' and '.join(sources)} {value.normalize():f}" for value, sources in votes)
        doubts.append(f"The page states several prices: {told}; {price.normalize():f} was taken.")
    elif "visible" not in sources and len(sources) == 1:
        certainty = 0.9
    return price, sources, certainty, doubts


def _is_seen(value: Decimal, facts: PageFacts) -> bool:
    """Return whether people see `value` as a price; cents may stand in an element of their own, without their mark."""
    return any(
        not one.kind
        and (_same(value, one.value) or value == one.other or (one.value == value * 100 and value % 1 != 0))
        for one in facts.seen
    )


def _prominent(facts: PageFacts, currency: str) -> SeenAmount | None:
    """Return the amount that people take for the price, or None where that is not clear."""
    plain = [one for one in facts.seen if not one.kind and one.currency in {"", currency}]
    if not plain or any(one.currency not in {"", currency} for one in facts.seen if currency and not one.kind):
        return None
    after = [one for one in plain if one.place >= facts.after_heading] or plain
    named = [one for one in after if one.in_price]
    if named:
        return named[0]
    return after[0] if len({one.value for one in after}) == 1 else None


def _without_structured_price(stated: list[tuple[str, Stated]], facts: PageFacts, state: str) -> Pricing:
    """Return what is left where no source states a price: the one that people see, if that is clear."""
    every = [one for _, source in stated for one in source.statements]
    others = _others(Decimal(0), None, every)
    prominent = _prominent(facts, next((one.currency for one in every if one.currency), "") or _seen_currency(facts))
    if prominent is not None and (stated or prominent.in_price):
        list_price = _list_price(prominent.value, [], facts)
        offer = Offer(prominent.value, prominent.currency, state, list_price, others=others)
        return Pricing(offer, 0.6, ("visible",), ("The price is only in the page's text, not in its data.",))
    if not state and not others and not any(source.availabilities or source.statements for _, source in stated):
        return Pricing(None)
    return Pricing(Offer(None, "", state, others=others), 1.0)


def _availability(
    stated: list[tuple[str, Stated]], positions: list[_Position], facts: PageFacts
) -> tuple[str, list[str]]:
    """Return the availability that most sources state; where they are at odds, the worse one."""
    states: list[str] = []
    for name, source in stated:
        position = next((one for one in positions if one.source == name), None)
        own = [position.price.availability] if position else []
        if position and own[0] in _SOLD_OUT | {""}:
            own = [one.availability for one in position.pool if one.availability] or own
        own += [*source.availabilities, *(one.availability for one in source.statements)]
        if state := next((one for one in own if one), ""):
            states.append(state)
    if not states:
        return ("OutOfStock", []) if facts.says_sold_out else ("", [])
    sold_out = [state for state in states if state in _SOLD_OUT]
    if not sold_out and facts.says_sold_out and not any(state in {"PreOrder", "BackOrder"} for state in states):
        return states[0], ["The page's data say that it can be bought, and its text that it is sold out."]
    if not sold_out or len(sold_out) == len(states):
        return states[0], []
    doubt = "The page says both that it can be bought and that it cannot."
    if len(sold_out) * 2 >= len(states):
        return sold_out[0], [doubt]
    return next(state for state in states if state not in _SOLD_OUT), [doubt]


def _page_currency(stated: list[tuple[str, Stated]], facts: PageFacts) -> str:
    """Return the currency that the page sells in."""
    for name, source in stated:
        if name == "opengraph":
            for one in source.statements:
                if one.currency:
                    return one.currency
    offered = [one.currency for _, source in stated for one in source.statements if one.currency]
    seen = _seen_currency(facts)
    return seen if seen in offered else next(iter(offered), seen)


def _seen_currency(facts: PageFacts) -> str:
    counted = Counter(one.currency for one in facts.seen if one.currency)
    return counted.most_common(1)[0][0] if counted else ""


def _list_price(price: Decimal, statements: Iterable[Statement], facts: PageFacts) -> Decimal | None:
    """Return what it costs without a discount, where that is more."""
    stated = [one.value for one in statements if one.kind == "list" and one.value != price]
    if stated:
        return next((one for one in stated if one > price), stated[0])
    struck = {one.value for one in facts.seen if one.kind == "list" and one.value > price}
    return next(iter(struck)) if len(struck) == 1 else None


def _others(price: Decimal, winner: _Position | None, statements: list[Statement]) -> tuple[OtherPrice, ...]:
    """Return what else is stated, by kind, each once."""
    found: dict[OtherPrice, None] = {}
    currency = winner.price.currency if winner else ""
    for one in statements:
        kind: PriceKind | None = one.kind
        if kind is None and one.value != price and winner is not None:
            if one.currency and currency and one.currency != currency:
                kind = "other-currency"
            elif one.availability in _SOLD_OUT:
                kind = "sold-out"
            elif one.value > price:
                kind = "dearer"
        if kind is not None and not (winner and kind == winner.second_best and one.value == price):
            found.setdefault(OtherPrice(kind, one.value, one.currency))
    return tuple(found)[:_MOST_OTHERS]


def _same(one: Decimal, two: Decimal) -> bool:
    return abs(one - two) <= _ROUNDING * max(one, two)
