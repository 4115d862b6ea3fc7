"""Pages of some megabytes that cost a careless reader minutes, or all its memory.

`python -m tests.support.products.corpus.hostile` prints what each costs: run it alone.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.products.corpus.snippet import ld

_SIZE = 5_000_000
_JSON_SIZE = 2_900_000
_LAMP = ld('{"@type":"Product","name":"Lamp","offers":{"price":"10","priceCurrency":"EUR"}}')


@dataclass(frozen=True)
class Hostile:
    """`found` are the names, or the refusals, that are right; `quick` ones take less than two seconds."""

    make: Callable[[], str]
    found: tuple[str, ...] = ("Lamp",)
    quick: bool = False


def _repeated(unit: str, before: str = "", size: int = _SIZE) -> Callable[[], str]:
    return lambda: _LAMP + before + unit * (size // len(unit))


def _json(unit: str, begin: str = "{", end: str = "}") -> Callable[[], str]:
    return lambda: ld(begin + unit * (_JSON_SIZE // len(unit)) + end) + _LAMP


def _listed(item: Callable[[int], str], count: int, begin: str, end: str) -> Callable[[], str]:
    return lambda: ld(begin + ",".join(map(item, range(count))) + end)


def _references() -> str:
    def product(to: str) -> str:
        return f'{{"@id":"#{to}"}}'

    chain = [
        f'{{"@id":"#{one}","@type":"Product","name":"Lamp","offers":[{",".join([product(other)] * 25_000)}]}}'
        for one, other in ("ab", "bc", "ca")
    ]
    return ld("[" + ",".join(chain) + "]")


PAGES: dict[str, Hostile] = {
    "nested <div>": Hostile(_repeated("<div>"), quick=True),
    "400,000 attributes of one tag": Hostile(lambda: _LAMP + "<a " + " ".join(f"a{n}=1" for n in range(400_000)) + ">", quick=True),
    "100 attributes of every tag": Hostile(_repeated("<a " + " ".join(f"a{n}=1" for n in range(100)) + ">"), quick=True),
    "comments": Hostile(_repeated("<!-- -->"), quick=True),
    "open comments": Hostile(_repeated("<!--"), quick=True),
    "entities": Hostile(_repeated("&amp;"), quick=True),
    "broken entities": Hostile(_repeated("&"), quick=True),
    "open quotes": Hostile(_repeated('<a b="'), quick=True),
    "elements": Hostile(_repeated("<i></i>")),
    "paragraphs": Hostile(_repeated("<p>")),
    "end tags below 2,000 elements": Hostile(_repeated("</p>", "<div>" * 2000)),
    "scripts": Hostile(_repeated("<script>1</script>"), quick=True),
    "headings in each other": Hostile(_repeated("<i></i>", "<h1>" * 2000)),
    "parts of other products in each other": Hostile(_repeated("<i></i>", '<h1>x</h1>' + '<div class="related">' * 2000)),
    "prices": Hostile(_repeated("<b>1.299,00 € </b>")),
    "prices in one text": Hostile(_repeated("$1 ", "<p>"), quick=True),
    "digits": Hostile(_repeated("9", "<p>"), quick=True),
    "emojis": Hostile(_repeated("\U0001f600", "<p>"), quick=True),
    "one id, 60,000 times in an itemref": Hostile(lambda: _LAMP + "<div id=x>" + "<i itemprop=name>n</i>" * 3000 + f"</div><div itemscope itemref='{'x ' * 60_000}'></div>", quick=True),
    "one id in 30,000 itemrefs": Hostile(lambda: _LAMP + "<div id=x>" + "<i itemprop=name>n</i>" * 30_000 + "</div>" + "<p itemscope itemref=x></p>" * 30_000),
    "itemrefs in a chain": Hostile(lambda: _LAMP + "".join(f"<div id=a{n} itemscope itemprop=p itemref='a{n + 1} a{n + 2}'></div>" for n in range(30_000))),
    "nested items": Hostile(_repeated('<div itemscope itemprop=name itemtype="https://schema.org/Product">'), quick=True),
    "items": Hostile(_repeated('<p itemscope itemtype="https://schema.org/Product"><i itemprop=name>x</i></p>')),
    "items with offers": Hostile(_repeated("<div itemscope itemtype=Product><i itemprop=name>x</i><p itemprop=offers itemscope><i itemprop=price>1.299</i></p></div>")),
    "properties in each other": Hostile(_repeated("<i></i>", "<div itemscope>" + "<b itemprop=name>" * 2000, 1_000_000)),
    "a long text in 2,000 properties": Hostile(_repeated("word ", "<div itemscope>" + "<b itemprop=name>" * 2000, 2_000_000)),
    "2,000 names of each property": Hostile(lambda: _LAMP + "<div itemscope>" + ("<b itemprop='" + "a " * 2000 + "'>x</b>") * 1000),
    "nested RDFa": Hostile(_repeated("<div typeof=Product property=name rel=x>"), quick=True),
    "@id references that multiply": Hostile(_references),
    "variants": Hostile(_listed(lambda n: f'{{"@type":"Product","name":"x","offers":{{"price":"1.{n % 1000:03d}","url":"/p?v={n}"}}}}', 12_000, '{"@type":"ProductGroup","name":"Lamp","hasVariant":[', "]}")),
    "products": Hostile(_listed(lambda n: f'{{"@type":"Product","name":"Lamp {n}","url":"/a/{n}","offers":{{"price":"1.299"}}}}', 15_000, "[", "]"), ("Lamp 0", "CategoryPage")),
    "reviews of others": Hostile(_listed(lambda n: f'{{"@type":"Review","reviewBody":"x{n}","itemReviewed":{{"name":"Desk"}}}}', 20_000, '{"@type":"Product","name":"Lamp","review":[', "]}")),
    "JSON: lists": Hostile(_json("[[],", "", ""), quick=True),
    "JSON: nested lists": Hostile(_json("[", "", ""), quick=True),
    "JSON: nested objects": Hostile(_json('{"a":', "", ""), quick=True),
    "JSON: many values, trailing commas": Hostile(_json('{"a":1,},', "[", "]"), quick=True),
    "JSON: escaped": Hostile(_json("&quot;"), quick=True),
    "JSON: quotes": Hostile(lambda: ld("{" + '"' * 990_000 + "}") + _LAMP),
    "JSON: comment marks": Hostile(lambda: ld("{" + "<!--" * 240_000 + "}") + _LAMP),
    "JSON: 2,000,000 digits": Hostile(lambda: ld('{"@type":"Product","name":"Lamp","offers":{"price":"' + "9" * 2_000_000 + '"}}'), quick=True),
    "JSON: contexts": Hostile(lambda: ld("[" + ",".join(["{\"@context\":{" + ",".join(f'"a{n}":"b{n}"' for n in range(400)) + '},"a":{}}'] * 400) + "]") + _LAMP, quick=True),
    "JSON: 60,000 blocks": Hostile(_repeated(ld('{"@type":"Product","name":"Lamp",}')), quick=True),
}  # fmt: skip


def _cost(make: Callable[[], str], answer: multiprocessing.connection.Connection) -> None:
    from jobs.products.fetching import Page
    from jobs.products.page import read_product
    from worker.retry import PermanentError

    html = make()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        found = read_product(Page("https://shop.example/p/1", html))[0].name
    except PermanentError as error:
        found = type(error).__name__
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    answer.send((len(html.encode()) / 1e6, time.process_time() - began, used, found))


def main() -> None:
    """Print the table as Markdown."""
    print("| page | MB | seconds | MB of memory | found |\n|---|---:|---:|---:|---|")
    for name, page in PAGES.items():
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=_cost, args=(page.make, there))
        process.start()
        size, seconds, megabytes, found = here.recv()
        process.join()
        print(f"| {name} | {size:.1f} | {seconds:.1f} | {megabytes:.0f} | {found} |", flush=True)


if __name__ == "__main__":
    main()
