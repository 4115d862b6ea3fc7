"""Every shape of the corpus is read right."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import chain
from typing import get_args

import pytest

from jobs.products import refusals
from jobs.products.facts import PriceKind
from jobs.products.fetching import Page
from jobs.products.page import read_product
from jobs.products.refusals import UnreadablePage
from jobs.products.verdict import SURE_FROM
from tests.support.products.corpus import CORPUS
from tests.support.products.corpus.snippet import TODAY, URL, Snippet
from tests.support.service import ROOT
from worker.retry import RetryLater


def test_the_corpus_has_shapes_enough_each_once() -> None:
    snippets = list(chain.from_iterable(CORPUS.values()))
    assert len(snippets) >= 120
    assert all(snippet.right and snippet.why for snippet in snippets)
    assert len({snippet.html for snippet in snippets}) == len(snippets)


@pytest.mark.parametrize(
    "snippet",
    [
        pytest.param(snippet, id=f"{theme}: {snippet.shape}".encode("ascii", "backslashreplace").decode())
        for theme, snippets in CORPUS.items()
        for snippet in snippets
    ],
)
def test_the_shape_is_read_right(snippet: Snippet) -> None:
    right = dict(snippet.right)
    if "refused" in right:
        with pytest.raises((UnreadablePage, RetryLater)) as raised:
            read_product(Page(URL, snippet.html), today=TODAY)
        assert type(raised.value).__name__ == right["refused"], snippet.why
        return
    product, _ = read_product(Page(URL, snippet.html), today=TODAY)
    offer, rating = product.offer, product.rating
    others = {(one.kind, str(one.amount)) for one in offer.others} if offer else set()
    assert right.pop("other", set()) <= {(kind, amount.rstrip()) for kind, amount in others}, (snippet.why, others)
    for name in ("price", "list_price"):
        if right.get(name) is not None:
            right[name] = Decimal(right[name])
    certainty = min(product.certainty.identity, product.certainty.price)
    found = {
        "name": product.name,
        "price": offer.price if offer else None,
        "currency": offer.currency if offer else "",
        "available": offer.available if offer else None,
        "condition": offer.condition if offer else "",
        "list_price": offer.list_price if offer else None,
        "stars": rating.stars if rating else None,
        "votes": rating.votes if rating else None,
        "reviews": len(product.reviews),
        "doubtful": certainty < SURE_FROM,
    }
    assert {name: found[name] for name in right} == right, snippet.why


DOCS = (ROOT / "docs" / "products.md").read_text()


def test_the_docs_count_the_shapes() -> None:
    rows = {
        theme: (int(shapes), int(ours))
        for theme, shapes, ours in re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| \d+ \|$", DOCS, re.M)
    }
    counted = {theme: len(snippets) for theme, snippets in CORPUS.items()}
    counted["all"] = sum(counted.values())
    assert rows == {theme: (count, count) for theme, count in counted.items()}


@pytest.mark.slow
def test_the_docs_say_what_extruct_reads(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.support.products.corpus.__main__ import main

    main()
    assert capsys.readouterr().out.strip() in DOCS


def test_the_docs_name_every_refusal_and_every_kind_of_price() -> None:
    classes = {
        name for name, one in vars(refusals).items() if isinstance(one, type) and one.__module__ == refusals.__name__
    }
    assert {name for name in classes - {"UnreadablePage"} if f"`{name}`" not in DOCS} == set()
    assert {kind for kind in get_args(PriceKind) if f"`{kind}`" not in DOCS} == set()
