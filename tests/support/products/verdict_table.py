"""Thirty products, what a person would say of each, and why: what the numbers of `jobs.products.verdict` were set on.

`python -m tests.support.products.verdict_table` prints what the service says of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from jobs.products.facts import Certainty, Offer, Product, Rating, Review
from jobs.products.verdict import Verdict, judge


@dataclass(frozen=True)
class Row:
    """`least` and `most` bound the confidence that a person would have."""

    what: str
    product: Product
    verdict: Verdict
    why: str
    least: float = 0.0
    most: float = 1.0


_SURE = Certainty()
_SHOP = Offer(Decimal(50), "EUR", "InStock")
_LOVED = tuple(
    Review(text, 5.0)
    for text in (
        "I love it. Works perfectly every day.",
        "Excellent quality and a fair price.",
        "Great value, my family is very happy with it.",
        "Beautiful and sturdy, highly recommended.",
        "The best one I have owned so far.",
        "Easy to clean and a pleasure to use.",
    )
)
_HATED = tuple(
    Review(text, 1.0)
    for text in (
        "Broke after a week. Terrible.",
        "Awful quality, a waste of money.",
        "It leaks and the support was horrible.",
        "Very disappointed, it arrived damaged.",
        "The worst purchase of the year.",
        "Dangerous: it failed and hurt my hand.",
    )
)
_MIXED = (_LOVED[0], _HATED[0], _LOVED[1], _HATED[2], _LOVED[4], Review("It is a kettle.", 3.0))
_GERMAN = (
    Review("Sehr gute Qualität, die Lampe ist wirklich schön.", 5.0),
    Review("Leider nach einer Woche kaputt, das ist nicht gut.", 1.0),
    Review("Schnelle Lieferung, und der Preis war in Ordnung.", 4.0),
)


def _(what: str, verdict: Verdict, why: str, product: Product, least: float = 0.0, most: float = 1.0) -> Row:
    return Row(what, product, verdict, why, least, most)


def _thing(
    stars: float | None = None,
    votes: int | None = None,
    reviews: tuple[Review, ...] = (),
    offer: Offer | None = _SHOP,
    certainty: Certainty = _SURE,
) -> Product:
    return Product("Thing", offer, None if stars is None else Rating(stars, votes), reviews, certainty)


def _doubt(identity: float, price: float) -> Certainty:
    return Certainty(identity, price, doubts=("Something is at odds.",))


TABLE = [
    _("loved by thousands", "buy", "nothing speaks against it", _thing(4.7, 3000, _LOVED), 0.75),
    _("loved by thousands, words unread", "buy", "that many stars suffice", _thing(4.6, 3000), 0.5),
    _("loved by hundreds, and cheaper than usual", "buy", "good, and a bargain", _thing(4.5, 400, _LOVED, replace(_SHOP, list_price=Decimal(70))), 0.75),
    _("good by a hundred", "buy", "good enough, known enough", _thing(4.4, 100, _LOVED[:4]), 0.6),
    _("loved by forty", "buy", "few, but of one mind", _thing(4.9, 40, _LOVED), 0.5),
    _("good, to be pre-ordered", "buy", "it can be ordered", _thing(4.6, 900, _LOVED, replace(_SHOP, availability="PreOrder")), 0.7),
    _("good, availability unknown", "buy", "nothing says that it cannot be bought", _thing(4.6, 900, _LOVED, replace(_SHOP, availability="")), 0.7),
    _("hated by hundreds", "avoid", "nothing speaks for it", _thing(1.8, 500, _HATED), 0.75),
    _("poor by thousands", "avoid", "that many cannot be wrong", _thing(2.6, 4000), 0.5),
    _("poor by hundreds, words too", "avoid", "stars and words agree", _thing(2.9, 300, _HATED), 0.6),
    _("poor and half price", "avoid", "a bad thing is not worth half its price", _thing(2.2, 300, _HATED, replace(_SHOP, list_price=Decimal(100))), 0.6),
    _("poor and sold out", "avoid", "it would not be bought anyway", _thing(2.3, 300, _HATED, replace(_SHOP, availability="OutOfStock")), 0.6),
    _("middling by thousands", "consider", "3.7 is neither", _thing(3.7, 3000, _MIXED), 0.6),
    _("middling by hundreds", "consider", "3.5 is neither", _thing(3.5, 300), 0.4),
    _("mixed words, good stars", "consider", "words and stars are at odds", _thing(4.1, 200, _MIXED), 0.4),
    _("hated in words, loved in stars", "consider", "bought stars?", _thing(4.8, 500, _HATED), 0.3, 0.8),
    _("perfect, by one buyer", "consider", "one buyer is no evidence", _thing(5.0, 1), 0.0, 0.35),
    _("perfect, by five buyers", "consider", "five are hardly more", _thing(5.0, 5, _LOVED[:1]), 0.0, 0.4),
    _("worst, by one buyer", "consider", "one buyer is no evidence", _thing(1.0, 1, _HATED[:1]), 0.0, 0.35),
    _("nothing known", "consider", "nothing is known", _thing(), 0.0, 0.2),
    _("no rating, a few good words", "consider", "three voices are few", _thing(None, None, _LOVED[:3]), 0.0, 0.5),
    _("loved, sold out", "consider", "it cannot be bought now", _thing(4.8, 2000, _LOVED, replace(_SHOP, availability="SoldOut")), 0.7),
    _("loved, discontinued", "consider", "it cannot be bought any more", _thing(4.8, 2000, _LOVED, replace(_SHOP, availability="Discontinued")), 0.7),
    _("loved, no price", "consider", "worth its price? there is none", _thing(4.8, 2000, _LOVED, None), 0.5, 0.9),
    _("loved, price in doubt", "consider", "worth which price?", _thing(4.8, 2000, _LOVED, _SHOP, _doubt(1.0, 0.5)), 0.0, 0.6),
    _("loved, product in doubt", "consider", "is it this one that they love?", _thing(4.8, 2000, _LOVED, _SHOP, _doubt(0.45, 1.0)), 0.0, 0.6),
    _("hated, product in doubt", "consider", "is it this one that they hate?", _thing(1.8, 500, _HATED, _SHOP, _doubt(0.45, 1.0)), 0.0, 0.6),
    _("hated, price in doubt", "avoid", "at any price", _thing(1.8, 500, _HATED, _SHOP, _doubt(1.0, 0.5)), 0.35, 0.7),
    _("good stars, German words", "buy", "the stars suffice, the words are not read", _thing(4.5, 600, _GERMAN), 0.5, 0.75),
    _("few stars, German words", "consider", "what is not read is no evidence", _thing(4.6, 7, _GERMAN), 0.0, 0.35),
    _("good, votes not told", "consider", "of how many?", _thing(4.9, None), 0.0, 0.35),
]  # fmt: skip


def main() -> None:
    """Print the table as Markdown."""
    print("| product | verdict | score | confidence | why a person would agree |\n|---|---|---:|---:|---|")
    for row in TABLE:
        judged = judge(row.product)
        print(f"| {row.what} | {judged.verdict} | {judged.score} | {judged.confidence} | {row.why} |")


if __name__ == "__main__":
    main()
