"""Judge whether a product is worth buying, from what is known of it. Pure: equal facts, equal verdict.

The numbers here are the product's own judgement, not science. They are in one place so that they can be
argued about and changed; `jobs.products.CACHE_VERSION` must change with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobs.product_facts import Offer, Product, Rating, Review
from jobs.sentiment import NOTABLE, tone

Verdict = Literal["buy", "consider", "avoid"]

#: Scores (0–100) from which to buy, and below which to avoid.
BUY_FROM = 70
AVOID_BELOW = 45
#: Below this confidence (0–1) the verdict is always ``consider``.
DECIDE_FROM = 0.35

#: What the stars weigh against the words, when there are many of both.
_RATING_WEIGHT = 0.65
_TONE_WEIGHT = 0.35
#: A rating is pulled towards the mean of all products, as if so many more buyers had given so many stars.
_PRIOR_STARS = 3.6
_PRIOR_VOTES = 8
#: Fewer votes than these are worth a warning.
_FEW_VOTES = 10
#: Stars praised, and stars warned of.
_GOOD_STARS = 4.0
_POOR_STARS = 3.8
#: Stars and words that differ by more (both on 0–1) make each other doubtful.
_DISAGREEMENT = 0.35
_QUOTE_LENGTH = 140


@dataclass(slots=True)
class Judgement:
    """A verdict and what led to it. `score` is 0–100, `confidence` 0–1; reasons are sentences."""

    score: int = 50
    verdict: Verdict = "consider"
    confidence: float = 0.0
    reasons_for: list[str] = field(default_factory=list)
    reasons_against: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What one kind of evidence says: `value` from 0 (avoid) to 1 (buy), and how much it `weight`s."""

    value: float
    weight: float
    evidence: float  #: from 0 (none) to 1 (more would not help)


def judge(product: Product) -> Judgement:
    """Judge `product`."""
    judgement = Judgement()
    stars = _by_rating(product.rating, judgement)
    words = _by_reviews(product.reviews, judgement)
    bonus = _by_offer(product.offer, judgement)
    opinions = [opinion for opinion in (stars, words) if opinion]
    weights = sum(opinion.weight for opinion in opinions)
    mean = sum(one.value * one.weight for one in opinions) / weights if weights else 0.5
    judgement.score = round(min(100.0, max(0.0, 100 * mean + bonus)))
    judgement.confidence = _confidence(product, stars, words)
    if stars and words and stars.value - words.value > _DISAGREEMENT:
        judgement.reasons_against.append("The reviews read worse than the stars suggest.")
    judgement.verdict = _verdict(judgement, product.offer)
    return judgement


def _verdict(judgement: Judgement, offer: Offer | None) -> Verdict:
    if judgement.confidence < DECIDE_FROM:
        return "consider"
    if judgement.score < AVOID_BELOW:
        return "avoid"
    buyable = offer is None or offer.available
    return "buy" if judgement.score >= BUY_FROM and buyable else "consider"


def _confidence(product: Product, stars: _Opinion | None, words: _Opinion | None) -> float:
    confidence = 0.55 * (stars.evidence if stars else 0) + 0.30 * (words.evidence if words else 0)
    if product.offer and product.offer.price:
        confidence += 0.15
    if stars and words:
        confidence -= 0.2 * abs(stars.value - words.value)
    return round(min(1.0, max(0.0, confidence)), 2)


def _by_rating(rating: Rating | None, judgement: Judgement) -> _Opinion | None:
    if rating is None:
        judgement.reasons_against.append("Nobody has rated it here.")
        return None
    votes = rating.votes or 1
    voters = "" if rating.votes is None else " by 1 buyer" if votes == 1 else f" by {votes:,} buyers"
    if rating.stars >= _GOOD_STARS:
        judgement.reasons_for.append(f"Rated {rating.stars:.1f} of 5{voters}.")
    elif rating.stars < _POOR_STARS:
        judgement.reasons_against.append(f"Rated only {rating.stars:.1f} of 5{voters}.")
    if rating.votes is None:
        judgement.reasons_against.append("The page does not tell how many rated it.")
    elif votes < _FEW_VOTES:
        judgement.reasons_against.append("Too few ratings to rely on.")
    settled = (rating.stars * votes + _PRIOR_STARS * _PRIOR_VOTES) / (votes + _PRIOR_VOTES)
    return _Opinion(_share(settled, 2, 5), _RATING_WEIGHT, votes / (votes + 25))


def _by_reviews(reviews: tuple[Review, ...], judgement: Judgement) -> _Opinion | None:
    if not reviews:
        judgement.reasons_against.append("The page shows no reviews to read.")
        return None
    tones = [(value, review) for review in reviews if (value := tone(review.text)) is not None]
    if not tones:
        judgement.reasons_against.append("The reviews are not in English, or say nothing either way.")
        return None
    favourable = sum(value >= NOTABLE for value, _ in tones)
    unfavourable = sum(value <= -NOTABLE for value, _ in tones)
    if favourable:
        best = max(tones, key=lambda one: one[0])[1]
        judgement.reasons_for.append(_told(favourable, len(tones), "favourable", best))
    if unfavourable:
        worst = min(tones, key=lambda one: one[0])[1]
        judgement.reasons_against.append(_told(unfavourable, len(tones), "unfavourable", worst))
    mean = sum(value for value, _ in tones) / len(tones)
    evidence = len(tones) / (len(tones) + 4)
    return _Opinion(_share(mean, -0.6, 0.6), _TONE_WEIGHT * evidence, evidence)


def _told(some: int, all_: int, kind: str, example: Review) -> str:
    quote = example.text if len(example.text) <= _QUOTE_LENGTH else example.text[: _QUOTE_LENGTH - 1] + "…"
    return f"{some} of {all_} reviews {'reads' if some == 1 else 'read'} {kind}, e.g. “{quote}”"


def _by_offer(offer: Offer | None, judgement: Judgement) -> float:
    """Return the points that price and availability add to or take from the score."""
    points = 0.0
    if offer is None or offer.price is None:
        judgement.reasons_against.append("The page states no price.")
    elif offer.list_price and offer.list_price > offer.price:
        saved = float(1 - offer.price / offer.list_price)
        if saved >= 0.05:
            judgement.reasons_for.append(f"Costs {saved:.0%} less than its list price.")
            points += min(5.0, 20 * saved)
    if offer and offer.discontinued:
        judgement.reasons_against.append("It is discontinued.")
        points -= 25
    elif offer and not offer.available:
        judgement.reasons_against.append("It is out of stock.")
        points -= 10
    elif offer and offer.availability:
        judgement.reasons_for.append("It can be ordered now.")
    return points


def _share(value: float, low: float, high: float) -> float:
    """Return where `value` lies between `low` (0) and `high` (1)."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
