"""Judge whether a product is worth buying, from what is known of it. Pure: equal facts, equal verdict.

The numbers here are the product's own judgement, not science. They are in one place so that they can be
argued about and changed; `jobs.products.CACHE_VERSION` must change with them. `tests/support/products/verdict_table.py` has
thirty products on which they were set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobs.products.facts import Certainty, Offer, Product, Rating, Review
from jobs.products.sentiment import NOTABLE, tones

Verdict = Literal["buy", "consider", "avoid"]

#: Scores (0–100) from which to buy, and below which to avoid.
BUY_FROM = 72
AVOID_BELOW = 45
#: Below this confidence (0–1) the verdict is always ``consider``.
DECIDE_FROM = 0.35
#: Below this certainty (0–1) of which product it is, or of its price, nothing is bought.
SURE_FROM = 0.65
#: What a product scores of which nothing is known.
_NEUTRAL = 50.0

#: What the stars weigh against the words, when there are many of both.
_RATING_WEIGHT = 0.65
_TONE_WEIGHT = 0.35
#: A rating is pulled towards the mean of all products, as if so many more buyers had given so many stars.
_PRIOR_STARS = 3.6
_PRIOR_VOTES = 8
#: Fewer votes than these are worth a warning.
_FEW_VOTES = 10
#: Stars warned of.
_POOR_STARS = 3.8
#: Stars and words that differ by more (both on 0–1) make each other doubtful.
_DISAGREEMENT = 0.35
_QUOTE_LENGTH = 140


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and what it weighs: what it adds to the score of 50, and to the confidence of 0."""

    text: str
    speaks_for: bool
    points: float = 0.0
    confidence: float = 0.0


@dataclass(slots=True)
class Judgement:
    """A verdict and what led to it. `score` is 0–100, `confidence` 0–1."""

    score: int = 50
    verdict: Verdict = "consider"
    confidence: float = 0.0
    reasons: list[Reason] = field(default_factory=list)

    @property
    def reasons_for(self) -> list[str]:
        """The sentences that speak for it."""
        return [reason.text for reason in self.reasons if reason.speaks_for]

    @property
    def reasons_against(self) -> list[str]:
        """The sentences that speak against it, or against relying on this."""
        return [reason.text for reason in self.reasons if not reason.speaks_for]


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What one kind of evidence says: `value` from 0 (avoid) to 1 (buy), and how much it `weight`s."""

    value: float
    weight: float
    evidence: float  #: from 0 (none) to 1 (more would not help)


def judge(product: Product) -> Judgement:
    """Judge `product`."""
    stars = _by_rating(product.rating)
    words, tone_of = _by_reviews(product.reviews)
    weights = sum(opinion.weight for opinion in (stars, words) if opinion)
    certain = product.certainty.identity * product.certainty.price
    reasons = [
        *_rating_reasons(product.rating, stars, weights),
        *_review_reasons(product.reviews, tone_of, words, weights),
        *_offer_reasons(product.offer),
    ]
    if stars and words:
        reasons += _disagreement(stars, words)
    reasons += _doubts(product.certainty, certain, sum(reason.confidence for reason in reasons))
    score = min(100.0, max(0.0, _NEUTRAL + sum(reason.points for reason in reasons)))
    confidence = min(1.0, max(0.0, sum(reason.confidence for reason in reasons)))
    judgement = Judgement(round(score), "consider", round(confidence, 2), [_rounded(reason) for reason in reasons])
    at_odds = stars is not None and words is not None and stars.value - words.value > _DISAGREEMENT
    judgement.verdict = _verdict(judgement, product, at_odds=at_odds)
    return judgement


def _verdict(judgement: Judgement, product: Product, *, at_odds: bool) -> Verdict:
    """`at_odds` says that the reviews read much worse than the stars suggest."""
    if judgement.confidence < DECIDE_FROM or product.certainty.identity < SURE_FROM:
        return "consider"
    if judgement.score < AVOID_BELOW:
        return "avoid"
    offer = product.offer
    buyable = offer is not None and offer.price is not None and offer.available and product.certainty.price >= SURE_FROM
    return "buy" if judgement.score >= BUY_FROM and buyable and not at_odds else "consider"


def _by_rating(rating: Rating | None) -> _Opinion | None:
    if rating is None:
        return None
    votes = rating.votes or 1
    settled = (rating.stars * votes + _PRIOR_STARS * _PRIOR_VOTES) / (votes + _PRIOR_VOTES)
    return _Opinion(_share(settled, 2, 5), _RATING_WEIGHT, votes / (votes + 25))


def _by_reviews(reviews: tuple[Review, ...]) -> tuple[_Opinion | None, list[tuple[float, Review]]]:
    """Return what the reviews say together, and those that were read, with how favourable each is."""
    read = [
        (value, review)
        for value, review in zip(tones([review.text for review in reviews]), reviews, strict=True)
        if value is not None
    ]
    if not read:
        return None, []
    mean = sum(value for value, _ in read) / len(read)
    evidence = len(read) / (len(read) + 4)
    return _Opinion(_share(mean, -0.6, 0.6), _TONE_WEIGHT * evidence, evidence), read


def _rating_reasons(rating: Rating | None, stars: _Opinion | None, weights: float) -> list[Reason]:
    if rating is None or stars is None:
        return [Reason("Nobody has rated it here.", speaks_for=False)]
    voters = "" if rating.votes is None else " by 1 buyer" if rating.votes == 1 else f" by {rating.votes:,} buyers"
    points = _points(stars, weights)
    only = "only " if rating.stars < _POOR_STARS else ""
    reasons = [
        Reason(f"Rated {only}{rating.stars:.1f} of 5{voters}.", points >= 0 and not only, points, 0.55 * stars.evidence)
    ]
    if rating.votes is None:
        reasons.append(Reason("The page does not tell how many rated it.", speaks_for=False))
    elif rating.votes < _FEW_VOTES:
        reasons.append(Reason("Too few ratings to rely on.", speaks_for=False))
    return reasons


def _review_reasons(
    reviews: tuple[Review, ...], read: list[tuple[float, Review]], words: _Opinion | None, weights: float
) -> list[Reason]:
    if not reviews:
        return [Reason("The page shows no reviews to read.", speaks_for=False)]
    if words is None:
        return [Reason("The reviews are not in English, or say nothing either way.", speaks_for=False)]
    favourable = sum(value >= NOTABLE for value, _ in read)
    unfavourable = sum(value <= -NOTABLE for value, _ in read)
    points, confidence = _points(words, weights), 0.30 * words.evidence
    reasons = []
    best, worst = max(read, key=lambda one: one[0])[1], min(read, key=lambda one: one[0])[1]
    # The sentence on whose side the reviews are together carries what they weigh.
    leads_for = (points >= 0 and favourable > 0) or not unfavourable
    if favourable or not unfavourable:
        told = (
            _told(favourable, len(read), "favourable", best) if favourable else f"{len(read)} reviews read neither way."
        )
        reasons.append(Reason(told, True, *((points, confidence) if leads_for else (0.0, 0.0))))
    if unfavourable:
        told = _told(unfavourable, len(read), "unfavourable", worst)
        reasons.append(Reason(told, False, *((points, confidence) if not leads_for else (0.0, 0.0))))
    if unread := len(reviews) - len(read):
        are = "review is" if unread == 1 else "reviews are"
        reasons.append(Reason(f"{unread} more {are} not in English, or say nothing either way.", speaks_for=False))
    return reasons


def _told(some: int, all_: int, kind: str, example: Review) -> str:
    quote = example.text if len(example.text) <= _QUOTE_LENGTH else example.text[: _QUOTE_LENGTH - 1] + "…"
    return f"{some} of {all_} reviews {'reads' if some == 1 else 'read'} {kind}, e.g. “{quote}”"


def _offer_reasons(offer: Offer | None) -> list[Reason]:
    """Return what price, condition and availability say."""
    reasons = []
    if offer is None or offer.price is None:
        reasons.append(Reason("The page states no price.", speaks_for=False))
    else:
        saved = (
            float(1 - offer.price / offer.list_price) if offer.list_price and offer.list_price > offer.price else 0.0
        )
        if saved >= 0.05:
            text = f"Costs {saved:.0%} less than its list price."
            reasons.append(Reason(text, True, min(5.0, 20 * saved), 0.15))
        else:
            reasons.append(
                Reason(
                    f"The price is stated: {offer.price.normalize():f} {offer.currency}".rstrip() + ".", True, 0.0, 0.15
                )
            )
        if offer.condition:
            reasons.append(Reason(f"It is not new: {offer.condition}.", False, -5.0))
    if offer and offer.discontinued:
        reasons.append(Reason("It is discontinued.", False, -25.0))
    elif offer and not offer.available:
        reasons.append(Reason("It is out of stock.", False, -10.0))
    elif offer and offer.availability:
        reasons.append(Reason("It can be ordered now.", True))
    return reasons


def _disagreement(stars: _Opinion, words: _Opinion) -> list[Reason]:
    """Stars and words that are at odds make each other doubtful."""
    difference = stars.value - words.value
    if abs(difference) < 0.05:
        return []
    if difference > _DISAGREEMENT:
        text = "The reviews read worse than the stars suggest."
    elif difference < -_DISAGREEMENT:
        text = "The reviews read better than the stars suggest."
    else:
        text = "Stars and reviews differ a little."
    return [Reason(text, False, 0.0, -0.2 * abs(difference))]


def _doubts(certainty: Certainty, certain: float, confidence: float) -> list[Reason]:
    """Return why the page itself is not quite trusted; together they take their share of `confidence`."""
    lost = -(1 - certain) * confidence
    if certainty.doubts:
        return [Reason(text, False, 0.0, lost / len(certainty.doubts)) for text in certainty.doubts]
    if certain < 1:
        return [Reason("Nothing else on the page confirms its data.", False, 0.0, lost)]
    return []


def _points(opinion: _Opinion, weights: float) -> float:
    """Return what an opinion adds to the score, beside the others."""
    return 100 * (opinion.value - 0.5) * opinion.weight / weights


def _rounded(reason: Reason) -> Reason:
    return Reason(reason.text, reason.speaks_for, round(reason.points, 1), round(reason.confidence, 3))


def _share(value: float, low: float, high: float) -> float:
    """Return where `value` lies between `low` (0) and `high` (1)."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
