"""Shapes of product pages, each with the right answer and the reason; own writing, no shop's page.

`python -m tests.support.products.corpus` prints who reads what: this project, and a plain use of extruct.
"""

from __future__ import annotations

from tests.support.products.corpus import identity, numbers, prices, ratings, syntaxes, unreadable, wrappings
from tests.support.products.corpus.snippet import Snippet

#: By theme.
CORPUS: dict[str, list[Snippet]] = {
    "JSON-LD wrappings": wrappings.SNIPPETS,
    "syntaxes": syntaxes.SNIPPETS,
    "which product": identity.SNIPPETS,
    "which price": prices.SNIPPETS,
    "numbers and words": numbers.SNIPPETS,
    "ratings and reviews": ratings.SNIPPETS,
    "cannot be read": unreadable.SNIPPETS,
}
