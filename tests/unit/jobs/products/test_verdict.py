"""Judging a product from known facts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.products.facts import Certainty, Offer, Product, Rating, Review
from jobs.products.sentiment import tone
from jobs.products.verdict import AVOID_BELOW, BUY_FROM, DECIDE_FROM, SURE_FROM, judge
from tests.support.products.verdict_table import TABLE, Row

IN_STOCK = Offer(Decimal(50), "EUR", "InStock")
LOVED = tuple(Review(f"I love it, excellent and beautiful, number {n}.", 5.0) for n in range(6))
HATED = tuple(Review(f"Awful, broken and a terrible waste, number {n}.", 1.0) for n in range(6))
GOOD = Product("Lamp", IN_STOCK, Rating(4.8, 500), LOVED)


def test_a_good_product_is_bought_and_a_bad_one_avoided() -> None:
    good, bad = judge(GOOD), judge(Product("Lamp", IN_STOCK, Rating(1.8, 500), HATED))
    assert (good.verdict, bad.verdict) == ("buy", "avoid")
    assert good.score > BUY_FROM > AVOID_BELOW > bad.score
    assert min(good.confidence, bad.confidence) > 0.75


def test_nothing_known_means_consider_without_confidence() -> None:
    judged = judge(Product("Lamp"))
    assert (judged.score, judged.verdict, judged.confidence, judged.reasons_for) == (50, "consider", 0.0, [])
    assert judged.reasons_against == [
        "Nobody has rated it here.",
        "The page shows no reviews to read.",
        "The page states no price.",
    ]


def test_a_perfect_rating_by_one_buyer_decides_nothing() -> None:
    judged = judge(Product("Lamp", IN_STOCK, Rating(5.0, 1)))
    assert judged.verdict == "consider"
    assert judged.confidence < DECIDE_FROM
    assert "Too few ratings to rely on." in judged.reasons_against


@pytest.mark.parametrize("reviews", [LOVED[:1], HATED[:1]])
def test_one_review_decides_nothing_however_clear_it_is(reviews: tuple[Review, ...]) -> None:
    judged = judge(Product("Lamp", IN_STOCK, None, reviews))
    assert not AVOID_BELOW <= judged.score < BUY_FROM
    assert judged.verdict == "consider"


def test_what_is_sold_out_is_not_bought_and_what_is_discontinued_still_less() -> None:
    sold_out = judge(replace(GOOD, offer=replace(IN_STOCK, availability="OutOfStock")))
    gone = judge(replace(GOOD, offer=replace(IN_STOCK, availability="Discontinued")))
    assert (sold_out.verdict, gone.verdict) == ("consider", "consider")
    assert judge(GOOD).score > sold_out.score > gone.score
    assert "It is out of stock." in sold_out.reasons_against
    assert "It is discontinued." in gone.reasons_against


def test_a_discount_helps_a_little_and_a_raised_price_does_not() -> None:
    middling = replace(GOOD, rating=Rating(3.5, 500), reviews=())
    reduced = judge(replace(middling, offer=replace(IN_STOCK, list_price=Decimal(100))))
    raised = judge(replace(middling, offer=replace(IN_STOCK, list_price=Decimal(40))))
    assert 0 < reduced.score - judge(middling).score <= 5
    assert raised.score == judge(middling).score
    assert "Costs 50% less than its list price." in reduced.reasons_for


def test_words_that_contradict_the_stars_lower_confidence_and_are_pointed_out() -> None:
    judged = judge(replace(GOOD, reviews=HATED))
    assert judged.confidence < judge(GOOD).confidence
    assert judged.score < judge(GOOD).score
    assert "The reviews read worse than the stars suggest." in judged.reasons_against


def test_reasons_count_and_quote_the_reviews() -> None:
    long = Review("Great. " + "It is really great. " * 20, 5.0)
    judged = judge(replace(GOOD, reviews=(long, Review("Broken and awful.", 1.0), Review("It has a cable.", 3.0))))
    assert any(reason.startswith("1 of 2 reviews reads favourable, e.g. “Great.") for reason in judged.reasons_for)
    assert "1 of 2 reviews reads unfavourable, e.g. “Broken and awful.”" in judged.reasons_against
    assert max(len(reason) for reason in judged.reasons_for) < 200


def test_reviews_in_another_language_are_not_taken_for_neutral_ones() -> None:
    judged = judge(replace(GOOD, reviews=(Review("Schöne Lampe, gerne wieder.", 5.0),)))
    assert judged.score == judge(replace(GOOD, reviews=())).score
    assert "The reviews are not in English, or say nothing either way." in judged.reasons_against


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("Excellent, I love it!", 0.5, 1.0),
        ("It is not good.", -1.0, -0.1),
        ("Terrible. Broken. Awful.", -1.0, -0.4),
        ("I love the sound. I hate the case.", -0.3, 0.3),
    ],
)
def test_tone_follows_the_words(text: str, low: float, high: float) -> None:
    found = tone(text)
    assert found is not None
    assert low <= found <= high


@pytest.mark.parametrize("text", ["", "   ", "The box contains a cable.", "...", "Eine Lampe."])
def test_text_without_an_opinion_has_no_tone(text: str) -> None:
    assert tone(text) is None


_OFFERS = st.builds(
    Offer,
    st.none() | st.decimals(min_value="0.01", max_value="1e6", places=2),
    st.sampled_from(["", "EUR"]),
    st.sampled_from(["", "InStock", "SoldOut", "Discontinued", "Nonsense"]),
    st.none() | st.decimals(min_value="0.01", max_value="1e6", places=2),
)
_PRODUCTS = st.builds(
    Product,
    st.just("Lamp"),
    st.none() | _OFFERS,
    st.none() | st.builds(Rating, st.floats(0.1, 5), st.none() | st.integers(1, 10**9)),
    st.lists(st.builds(Review, st.text(max_size=60), st.none()), max_size=4).map(tuple),
)


@settings(deadline=None)
@given(_PRODUCTS)
def test_any_facts_give_the_same_bounded_verdict_every_time(product: Product) -> None:
    judged = judge(product)
    assert 0 <= judged.score <= 100
    assert 0 <= judged.confidence <= 1
    assert judged.verdict in {"buy", "consider", "avoid"}
    assert judge(product) == judged


@settings(deadline=None)
@given(st.floats(0.5, 4.5), st.floats(0.1, 0.5), st.integers(1, 10_000))
def test_more_stars_never_lower_the_score(stars: float, more: float, votes: int) -> None:
    lower = judge(Product("Lamp", IN_STOCK, Rating(stars, votes)))
    higher = judge(Product("Lamp", IN_STOCK, Rating(stars + more, votes)))
    assert higher.score >= lower.score


@pytest.mark.parametrize("row", TABLE, ids=[row.what for row in TABLE])
def test_a_person_would_agree(row: Row) -> None:
    judged = judge(row.product)
    assert (judged.verdict, row.least <= judged.confidence <= row.most) == (row.verdict, True), (row.why, judged)


def test_the_table_has_thirty_products_of_every_verdict() -> None:
    assert len(TABLE) >= 30
    assert {row.verdict for row in TABLE} == {"buy", "consider", "avoid"}


@settings(deadline=None)
@given(_PRODUCTS, st.floats(0, 1), st.floats(0, 1))
def test_reasons_add_up_to_the_verdict_and_doubt_buys_nothing(product: Product, identity: float, price: float) -> None:
    judged = judge(replace(product, certainty=Certainty(identity, price)))
    points = 50 + sum(reason.points for reason in judged.reasons)
    assert abs(min(100, max(0, points)) - judged.score) < 1
    assert abs(min(1, max(0, sum(reason.confidence for reason in judged.reasons))) - judged.confidence) < 0.02
    if min(identity, price) < SURE_FROM:
        assert judged.verdict != "buy"


def test_reviews_that_are_not_read_are_told() -> None:
    reviews = (*LOVED, Review("Sehr schön, die Lampe ist gut.", 5.0), Review("とても良いです", 5.0))
    assert (
        "2 more reviews are not in English, or say nothing either way."
        in judge(replace(GOOD, reviews=reviews)).reasons_against
    )
