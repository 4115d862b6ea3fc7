"""Microdata and RDFa, read into the graph."""

from __future__ import annotations

from typing import Any

from jobs.products.reading.budget import Clock
from jobs.products.reading.graph import Graph, Node
from jobs.products.reading.microdata import add_markup_data
from jobs.products.reading.tree import parse_html

URL = "https://shop.example/things/one"


def graph_of(html: str) -> Graph:
    graph = Graph()
    add_markup_data(graph, parse_html(html), URL, Clock())
    return graph


def as_dict(node: Node) -> dict[str, Any]:
    return {
        "@type": sorted(node.types),
        **{
            name: [one if isinstance(one, str) else as_dict(one) for one in values]
            for name, values in node.values.items()
        },
    }


def items(html: str) -> list[dict[str, Any]]:
    return [as_dict(node) for node in graph_of(html).nodes if node.parent is None]


def test_microdata_values_come_from_where_the_standard_says() -> None:
    html = """<div itemscope itemtype="https://schema.org/Thing" itemid="urn:1">
             <a itemprop="url" href="../two">x</a><img itemprop="image" src="a.png">
             <meta itemprop="sku" content="S1"><data itemprop="n" value="5">five</data>
             <time itemprop="t" datetime="2024-01-01">new year</time><time itemprop="t2">noon</time>
             <b itemprop="name  alternateName"> Two   <i>words</i></b>
             <span itemprop="p" content="9.5">nine</span>
             <a itemprop="bad" href="http://[">x</a>
           </div>"""
    assert items(html) == [
        {
            "@type": ["thing"],
            "url": ["https://shop.example/two"],
            "image": ["https://shop.example/things/a.png"],
            "sku": ["S1"],
            "n": ["5"],
            "t": ["2024-01-01"],
            "t2": ["noon"],
            "name": ["Two words"],
            "alternatename": ["Two words"],
            "p": ["9.5"],
            "bad": ["http://["],
        }
    ]
    assert graph_of(html).nodes[0].id == "urn:1"


def test_microdata_items_nest_and_only_the_outermost_are_top_level() -> None:
    assert items(
        """<div itemscope itemtype="A"><p itemprop="b" itemscope itemtype="B"><i itemprop="c">1</i></p>
           <section><div itemscope itemtype="Lone"><i itemprop="c">2</i></div></section></div>"""
    ) == [{"@type": ["a"], "b": [{"@type": ["b"], "c": ["1"]}]}, {"@type": ["lone"], "c": ["2"]}]


def test_values_keep_the_order_of_the_page() -> None:
    html = """<div itemscope><i itemprop="n">1</i><p><i itemprop="n">2</i></p><i itemprop="n">3</i></div>"""
    assert items(html)[0]["n"] == ["1", "2", "3"]


def test_items_include_what_they_refer_to() -> None:
    html = """<div itemscope itemref="b none"><i itemprop="x">1</i></div><p id="b"><i itemprop="y">2</i></p>"""
    assert items(html) == [{"@type": [], "x": ["1"], "y": ["2"]}]


def test_references_in_a_circle_end() -> None:
    graph = graph_of(
        """<div id="a" itemscope itemref="b"><i itemprop="x">1</i></div>
           <div id="b" itemprop="y" itemscope itemref="a b"></div>"""
    )
    assert graph.nodes[0].text("x") == "1"
    assert len(graph.nodes) < 10


def test_one_place_named_again_and_again_is_included_once() -> None:
    html = f"<div id=x><i itemprop=n>1</i></div><p itemscope itemref='{'x ' * 10_000}'></p>"
    assert items(html) == [{"@type": [], "n": ["1"]}]


def test_many_references_to_one_place_do_not_multiply_its_cost() -> None:
    """Without a bound, 400,000,000 elements would be looked at."""
    big = f"<div id=big>{'<i itemprop=n>1</i>' * 20_000}</div>"
    graph = graph_of(big + "<p itemscope itemref='big none'></p>" * 20_000)
    assert sum(len(values) for node in graph.nodes for values in node.values.values()) < 200_000


def test_rdfa_lite_in_its_shapes() -> None:
    html = """<html prefix="og: https://ogp.me/ns#"><meta property="og:title" content="no thing's">
      <div vocab="https://schema.org/" typeof="Product" resource="#p"><h1 property="name">Lamp</h1>
        <a property="url" href="/lamp">x</a>
        <p property="offers" typeof="Offer"><span property="price" content="9.50">9,50 €</span>
          <link property="availability" href="https://schema.org/InStock"></p></div>"""
    assert items(html) == [
        {
            "@type": ["product"],
            "name": ["Lamp"],
            "url": ["https://shop.example/lamp"],
            "offers": [{"@type": ["offer"], "price": ["9.50"], "availability": ["https://schema.org/InStock"]}],
        }
    ]


def test_rdfa_with_prefixes_and_chaining() -> None:
    html = """<div typeof="schema:Product"><b property="schema:name">Lamp</b>
      <div rel="schema:offers"><div typeof="schema:Offer"><i property="schema:price">9</i></div></div></div>"""
    assert items(html) == [{"@type": ["product"], "name": ["Lamp"], "offers": [{"@type": ["offer"], "price": ["9"]}]}]
