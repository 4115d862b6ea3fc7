"""What one page may cost its reader.

A page is a stranger's: it may nest, repeat and refer without end. What is beyond a limit is left unread, as if the page
ended there; only the time is an error. The limits are several times what the largest shops' pages have.
"""

from __future__ import annotations

from time import thread_time

from jobs.products.refusals import PageTooCostly

#: Tags, comments and declarations of the markup; each element takes some 120 bytes of a tree.
MAX_TAGS = 300_000
#: Attributes of one tag, which libxml2 compares with each other, and of all of them; each takes some 280 bytes.
MAX_ATTRIBUTES_OF_TAG = 100
MAX_ATTRIBUTES = 200_000
#: Blocks of JSON-LD, their characters in all, and the tokens, values and levels of one.
MAX_JSON_BLOCKS = 200
MAX_JSON_CHARACTERS = 3_000_000
MAX_JSON_VALUES = 200_000
MAX_LOOSE_JSON = 1_000_000  #: characters of one that is no strict JSON
MAX_JSON_DEPTH = 200
#: Nodes of the graph, and references from node to node that are followed.
MAX_NODES = 50_000
MAX_REFERENCES = 20_000
#: Elements looked at for microdata or RDFa, counting again those that several items include.
MAX_ELEMENTS = 200_000
#: Elements that microdata includes by itemref: of one item, and of all.
MAX_INCLUDED_BY_ITEM = 50
MAX_INCLUDED = 1_000
#: Characters of the texts that are taken from elements, in all: nested elements repeat their text.
MAX_TEXT = 2_000_000
#: Seconds of processor time for reading one page, so that a busy machine refuses no page; the slowest page known to us
#: takes five of them, and ordinary ones a tenth of one.
MAX_SECONDS = 15.0


class Clock:
    """Ends the reading of a page that takes too long; for the thread that makes it."""

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._end = thread_time() + seconds

    def check(self) -> None:
        """Raise `PageTooCostly` when the time is over."""
        if thread_time() > self._end:
            raise PageTooCostly


class Allowance:
    """A number of things that may be used up."""

    def __init__(self, count: int) -> None:
        self.left = count

    def take(self, count: int = 1) -> bool:
        """Use up `count` of them; False when there are not as many left."""
        self.left -= count
        return self.left >= 0
