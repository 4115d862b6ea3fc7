"""Reading a product from what its page says for machines."""

from __future__ import annotations

import json
import pickle
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.shop import PAGES
from jobs.products import refusals
from jobs.products.facts import Offer, Product, Rating, Review
from jobs.products.fetching import Page
from jobs.products.page import read_product
from jobs.products.reading.budget import Clock
from jobs.products.refusals import CategoryPage
from worker.retry import PermanentError

URL = "https://shop.example/things/one"


def read(html: str) -> tuple[Product, list[str]]:
    return read_product(Page(URL, html))


def json_ld(*blocks: Any) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(block)}</script>' for block in blocks)


def product(**properties: Any) -> dict[str, Any]:
    return {"@context": "https://schema.org", "@type": "Product", "name": "Lamp", **properties}


def offer(**properties: Any) -> dict[str, Any]:
    return {"@type": "Offer", "price": "10.00", "priceCurrency": "EUR", **properties}


# --- the sample pages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected", "sources"),
    [
        (
            "buy.html",
            (
                "Aurora 3 desk lamp",
                Offer(Decimal("79.00"), "EUR", "InStock", Decimal("99.00")),
                Rating(4.7, 1284),
                5,
            ),
            ["json-ld"],
        ),
        (
            "consider.html",
            ("Brisk 700 blender", Offer(Decimal("64.5"), "USD", "LimitedAvailability"), Rating(3.7, 58), 4),
            ["json-ld"],
        ),
        (
            "avoid.html",
            ("ZipSound Mini earbuds", Offer(Decimal("24.99"), "GBP", "OutOfStock"), Rating(2.1, 312), 5),
            ["json-ld"],
        ),
        (
            "microdata.html",
            ("Wanderrucksack Föhn 28 l", Offer(Decimal("1129.90"), "EUR", "InStock"), Rating(4.4, 1086), 2),
            ["microdata"],
        ),
        (
            "opengraph.html",
            ("Hand-thrown mug, moss", Offer(Decimal("28.00"), "USD", "InStock"), None, 0),
            ["opengraph"],
        ),
    ],
)
def test_every_sample_page_is_read_completely(name: str, expected: tuple[object, ...], sources: list[str]) -> None:
    found, found_sources = read((PAGES / name).read_text())
    assert (found.name, found.offer, found.rating, len(found.reviews)) == expected
    assert found_sources == sources


def test_the_broken_sample_page_is_not_a_products() -> None:
    with pytest.raises(PermanentError, match=r"not a product's: .* give the address of one product's own page"):
        read((PAGES / "broken.html").read_text())


# --- JSON-LD -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        product(offers=offer()),
        [{"@type": "WebSite"}, product(offers=[offer()])],
        {"@graph": [{"@type": "Organization"}, product(offers=offer())]},
        {"@type": "WebPage", "mainEntity": {"@type": "ItemPage", "about": [product(offers=offer())]}},
        product(**{"@type": ["Thing", "schema:Product"]}, offers=offer()),
        product(**{"@type": "http://schema.org/Product"}, offers=offer()),
        {"@graph": [product(offers={"@id": "#o"}), offer(**{"@id": "#o"})]},
        {"@type": "ProductGroup", "name": "Lamp", "hasVariant": [product(name="Lamp, red", offers=offer())]},
        product(offers={"@type": "AggregateOffer", "lowPrice": 10, "highPrice": 30, "priceCurrency": "EUR"}),
        product(offers={"@type": "AggregateOffer", "offers": [offer(price=12), offer(price=10)]}),
        product(offers={"@type": "Offer", "priceSpecification": offer()}),
        product(name={"@value": "Lamp", "@language": "en"}, offers=offer(price="10,00 €", priceCurrency=None)),
    ],
)
def test_json_ld_in_all_its_shapes(data: Any) -> None:
    found, sources = read(json_ld(data))
    assert found.name == "Lamp"
    assert found.offer is not None
    assert (found.offer.price, found.offer.currency, sources) == (10, "EUR", ["json-ld"])


@pytest.mark.parametrize(
    "block",
    [
        '<script type="application/LD+JSON; charset=utf-8">{}</script>',
        '<script type="application/ld+json"><!-- {} --></script>',
        '<script type="application/ld+json">\n//<![CDATA[\n{}\n//]]>\n</script>',
        '<script type="application/ld+json">{};</script>',
    ],
)
def test_json_ld_in_old_wrappings(block: str) -> None:
    assert read(block.replace("{}", json.dumps(product(offers=offer()))))[0].name == "Lamp"


def test_line_breaks_inside_texts_and_entities_do_no_harm() -> None:
    name = "Tom &amp;\n Jerry&#39;s\tlamp"
    html = f'<script type="application/ld+json">{{"@type": "Product", "name": "{name}"}}</script>'
    assert read(html)[0].name == "Tom & Jerry's lamp"


def test_one_broken_block_does_not_hide_the_others() -> None:
    deep = '<script type="application/ld+json">' + "[" * 100_000 + "</script>"
    broken = '<script type="application/ld+json">{"@type": "Product", "name": </script>'
    assert read(deep + broken + json_ld(product()))[0].name == "Lamp"


def test_products_that_the_page_only_mentions_are_not_its_own() -> None:
    other = product(name="Other", offers=offer(), aggregateRating={"ratingValue": 5, "ratingCount": 9})
    listing = {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": other}]}
    assert read(json_ld(listing, product(isRelatedTo=[other], isSimilarTo=other)))[0].name == "Lamp"
    with pytest.raises(CategoryPage):
        read(json_ld(listing))


def test_the_product_that_tells_most_is_the_pages() -> None:
    bare, sold = (
        product(name="Bare", description="x", sku="1", color="red"),
        product(name="Sold", offers=offer()),
    )
    rated = product(name="Rated", aggregateRating={"ratingValue": 4, "ratingCount": 2}, sku="2")
    assert read(json_ld(bare, rated, sold))[0].name == "Sold"
    assert read(json_ld(bare, rated))[0].name == "Rated"


def test_the_cheapest_offer_that_can_be_bought_counts() -> None:
    offers = [
        offer(price=5, availability="https://schema.org/SoldOut"),
        offer(price=9, availability="http://schema.org/InStock"),
        offer(price=7, availability="InStock"),
        offer(price=0),
        offer(price="-3"),
        offer(price="call us"),
    ]
    assert read(json_ld(product(offers=offers)))[0].offer == Offer(Decimal(7), "EUR", "InStock")


@pytest.mark.parametrize(
    ("node", "rating"),
    [
        ({"ratingValue": "4.5", "reviewCount": 10}, Rating(4.5, 10)),
        ({"ratingValue": "4,5", "ratingCount": "1.284", "reviewCount": 3}, Rating(4.5, 1284)),
        ({"ratingValue": 9, "bestRating": 10, "ratingCount": 4}, Rating(4.5, 4)),
        ({"ratingValue": 90, "bestRating": "100", "ratingCount": 4}, Rating(4.5, 4)),
        ({"ratingValue": 4}, Rating(4.0, None)),
        ({"ratingValue": 0, "ratingCount": 0}, None),
        ({"ratingValue": 87, "ratingCount": 4}, None),
        ({"ratingValue": -1, "ratingCount": 4}, None),
        ({"ratingValue": "NaN", "ratingCount": 4}, None),
        ({"ratingValue": None, "ratingCount": 4}, None),
        ({"ratingCount": 4}, None),
    ],
)
def test_ratings_come_to_a_scale_of_five(node: dict[str, Any], rating: Rating | None) -> None:
    assert read(json_ld(product(aggregateRating=node)))[0].rating == rating


def test_reviews_are_gathered_without_repetition_and_rate_when_nothing_else_does() -> None:
    good = {"@type": "Review", "reviewBody": "Good.", "reviewRating": {"ratingValue": 5}}
    beside = {
        "@type": "Review",
        "description": "Bad.",
        "reviewRating": {"ratingValue": 2},
        "itemReviewed": {"@id": "#p"},
    }
    foreign = {
        "@type": "Review",
        "reviewBody": "Another thing.",
        "itemReviewed": {"@type": "Product", "name": "Chair"},
    }
    empty = {"@type": "Review", "reviewBody": " "}
    found, _ = read(json_ld(product(**{"@id": "#p"}, review=[good, good, empty], sku="1"), beside, foreign))
    assert found.reviews == (Review("Good.", 5.0), Review("Bad.", 2.0))
    assert found.rating == Rating(3.5, 2)


def test_reviews_are_limited_in_number_and_length() -> None:
    reviews = [{"@type": "Review", "reviewBody": f"{n} " + "long " * 1000} for n in range(150)]
    found, _ = read(json_ld(product(review=reviews)))
    assert len(found.reviews) == 100
    assert {len(review.text) for review in found.reviews} == {2000}


# --- OpenGraph, and all together -----------------------------------------------------------------------


def metas(**properties: str) -> str:
    return "".join(
        f'<meta property="{name.replace("__", ":")}" content="{value}">' for name, value in properties.items()
    )


def test_opengraph_sale_price_beats_price_and_tells_the_list_price() -> None:
    html = metas(
        og__title="Mug",
        og__type="og:product",
        product__price__amount="28",
        product__sale_price__amount="21.50",
        product__sale_price__currency="usd",
        product__original_price__amount="28",
        product__availability="oos",
    )
    assert read(html)[0] == Product("Mug", Offer(Decimal("21.50"), "USD", "OutOfStock", Decimal(28)))


def test_an_article_with_opengraph_is_no_product() -> None:
    with pytest.raises(PermanentError, match="not a product's"):
        read(metas(og__title="Our new mugs", og__type="article"))


def test_each_source_fills_what_those_before_left_open() -> None:
    html = (
        "<title>Lamp – Shop</title>"
        + json_ld(product(offers={"@type": "Offer", "price": "10"}))
        + """<div itemscope itemtype="https://schema.org/Product"><b itemprop="name">lamp</b>
             <p itemprop="aggregateRating" itemscope>
               <i itemprop="ratingValue">4</i><i itemprop="ratingCount">7</i></p></div>"""
        + metas(og__title="Lamp – Shop", og__type="product", og__price__amount="11", og__price__currency="EUR")
    )
    found, sources = read(html)
    assert found == Product("Lamp", Offer(Decimal(10), "EUR"), Rating(4.0, 7))
    assert sources == ["json-ld", "microdata", "opengraph"]


def test_another_products_data_fill_nothing() -> None:
    html = json_ld(product()) + metas(og__title="Chair", og__type="product", og__price__amount="99")
    assert read(html) == (Product("Lamp"), ["json-ld"])


def test_the_title_stands_in_for_a_missing_name_and_without_either_it_is_no_product() -> None:
    nameless = json_ld({"@type": "Product", "offers": offer()})
    assert read("<title>Lamp – Shop</title>" + nameless)[0].name == "Lamp – Shop"
    with pytest.raises(PermanentError, match="without a name"):
        read(nameless)


_NAMES = (
    "@type @id @value name offers price priceCurrency availability priceType lowPrice priceSpecification "
    "aggregateRating ratingValue bestRating ratingCount review reviewBody reviewRating itemReviewed "
    "hasVariant"
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES.split()), inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(_JSON)
def test_no_json_breaks_the_reader(data: Any) -> None:
    try:
        found, _ = read("<title>t</title>" + json_ld({"@type": "Product", "offers": data, "review": data}, data))
    except PermanentError:
        return
    assert found.name
    assert found.rating is None or 0 <= found.rating.stars <= 5
    assert found.offer is None or found.offer.price is None or found.offer.price > 0


@pytest.mark.parametrize("refusal", [one for one in vars(refusals).values() if isinstance(one, type)])
def test_refusals_survive_a_pickle_and_say_what_to_do(refusal: type[Exception]) -> None:
    error = refusal("x") if refusal is PermanentError else refusal()
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    if isinstance(error, refusals.UnreadablePage):
        assert re.search(r"; .*(give|check) ", str(error))


def test_reading_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.products.page.Clock", lambda: Clock(0.0))
    with pytest.raises(refusals.PageTooCostly, match="took longer"):
        read(json_ld(product()))
