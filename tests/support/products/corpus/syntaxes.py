"""The ways to say the same: JSON-LD's names, microdata, RDFa, <meta> properties."""

from __future__ import annotations

from tests.support.products.corpus.snippet import KETTLE, Snippet, ld, offer, page, product


def _ld(shape: str, data: object, why: str, **right: object) -> Snippet:
    return Snippet(shape, page(ld(data)), {**KETTLE, **right}, why)


def _html(shape: str, body: str, why: str, head: str = "", **right: object) -> Snippet:
    return Snippet(shape, page(head, body), {**KETTLE, **right}, why)


_MICRO_OFFER = '<div itemprop=offers itemscope itemtype="https://schema.org/Offer">{}</div>'
_META = '<meta property="{}" content="{}">'


def _metas(*pairs: tuple[str, str]) -> str:
    return "".join(_META.format(*pair) for pair in pairs)


SNIPPETS = [
    _ld("full IRIs as keys", {"@type": "https://schema.org/Product", "https://schema.org/name": "Brass kettle",
        "https://schema.org/offers": {"https://schema.org/price": 24.5, "https://schema.org/priceCurrency": "EUR"}}, "expanded JSON-LD"),
    _ld("http IRIs", {"@type": "http://schema.org/Product", "http://schema.org/name": [{"@value": "Brass kettle"}],
        "http://schema.org/offers": [{"http://schema.org/price": [{"@value": "24.50"}], "http://schema.org/priceCurrency": [{"@value": "EUR"}]}]}, "expanded JSON-LD of an old site"),
    _ld("prefix", {"@context": {"schema": "https://schema.org/"}, "@type": "schema:Product", "schema:name": "Brass kettle",
        "schema:offers": {"@type": "schema:Offer", "schema:price": "24.50", "schema:priceCurrency": "EUR"}}, "a prefix for the vocabulary"),
    _ld("aliases of the context", {"@context": ["https://schema.org", {"label": "schema:name", "deal": {"@id": "schema:offers"}, "kind": "@type", "cost": "https://schema.org/price"}],
        "kind": "Product", "label": "Brass kettle", "deal": {"kind": "Offer", "cost": "24.50", "priceCurrency": "EUR"}}, "a context may rename anything"),
    _ld("type and id without @", {"@context": "https://schema.org", "type": "Product", "id": "#p", "name": "Brass kettle", "offers": offer()}, "schema.org's context allows it"),
    _ld("several types", product(**{"@type": ["Thing", "Product", "http://example.com/Kettle"]}), "a type list"),
    _ld("other capitals", {"@type": "product", "Name": "Brass kettle", "Offers": {"Price": "24.50", "pricecurrency": "EUR"}}, "typed from memory"),
    _ld("language map", product(name={"@value": "Brass kettle", "@language": "en"}), "a text with its language"),
    _ld("@list and @set", product(offers={"@list": [{"@set": [offer()]}]}), "containers"),
    _ld("references", {"@graph": [product(offers={"@id": "#o"}), {"@id": "#o", **offer()}]}, "an offer elsewhere in the graph"),
    _ld("one thing in two places", {"@graph": [{"@id": "#p", "@type": "Product", "name": "Brass kettle"}, {"@id": "#p", "offers": offer()}]}, "nodes of one id are one"),
    _ld("offer that offers", {"@type": "Offer", "price": "24.50", "priceCurrency": "EUR", "itemOffered": {"@type": "Product", "name": "Brass kettle"}}, "the offer is the outer thing"),
    _ld("book", product(**{"@type": "Book"}), "shops sell more types than Product"),
    _ld("ProductGroup", {"@type": "ProductGroup", "name": "Brass kettle", "hasVariant": [product(name="Brass kettle 1 l", offers=offer("29.50")), product(name="Brass kettle 0.5 l")]},
        "a group costs what its cheapest variant costs"),
    _ld("@reverse", {"@type": "Product", "name": "Brass kettle", "offers": offer(), "@reverse": {"itemReviewed": {"@type": "Review", "reviewBody": "Good"}}}, "a property read backwards does no harm"),
    _html("microdata", f'<div itemscope itemtype="https://schema.org/Product"><h1 itemprop=name>Brass kettle</h1>{_MICRO_OFFER.format("<b itemprop=price content=24.50>24,50</b><meta itemprop=priceCurrency content=EUR>")}</div>', "the standard's own shape"),
    _html("microdata: price as text", f'<div itemscope itemtype="http://schema.org/Product"><h1 itemprop=name>Brass kettle</h1>{_MICRO_OFFER.format("<b itemprop=price>24,50 €</b>")}</div>', "no content attribute"),
    _html("microdata: itemref", '<div itemscope itemtype="https://schema.org/Product" itemref="a b none"></div><h1 id=a itemprop=name>Brass kettle</h1>'
        '<div id=b itemprop=offers itemscope><i itemprop=price>24.50</i><i itemprop=priceCurrency>EUR</i></div>', "the parts stand elsewhere"),
    _html("microdata: price in the product", '<div itemscope itemtype="https://schema.org/Product"><h1 itemprop=name>Brass kettle</h1><b itemprop=price>24.50</b><i itemprop=priceCurrency>EUR</i></div>', "no Offer between"),
    _html("microdata: two types", '<div itemscope itemtype="https://schema.org/Product https://schema.org/Vehicle"><h1 itemprop=name>Brass kettle</h1>'
        f'{_MICRO_OFFER.format("<data itemprop=price value=24.50>x</data><meta itemprop=priceCurrency content=EUR>")}</div>', "a type list"),
    _html("microdata: data-vocabulary", '<div itemscope itemtype="http://data-vocabulary.org/Product"><b itemprop=name>Brass kettle</b>'
        '<p itemprop=offerDetails itemscope></p><p itemprop=offers itemscope><i itemprop=price>24.50</i><i itemprop=currency>EUR</i></p></div>', "schema.org's predecessor"),
    _html("microdata: split over template", '<template><div itemscope itemtype="https://schema.org/Product"><b itemprop=name>Ghost</b></div></template>'
        f'<div itemscope itemtype="https://schema.org/Product"><h1 itemprop=name>Brass kettle</h1>{_MICRO_OFFER.format("<meta itemprop=price content=24.50><meta itemprop=priceCurrency content=EUR>")}</div>', "a template's content is not on the page"),
    _html("RDFa Lite", '<div vocab="https://schema.org/" typeof=Product><h1 property=name>Brass kettle</h1><div property=offers typeof=Offer>'
        '<span property=price content=24.50>24,50 €</span><meta property=priceCurrency content=EUR></div></div>', "the standard's own shape"),
    _html("RDFa with prefixes", '<div prefix="s: https://schema.org/" typeof="s:Product"><h1 property="s:name">Brass kettle</h1><div property="s:offers" typeof="s:Offer">'
        '<i property="s:price">24.50</i><i property="s:priceCurrency">EUR</i></div></div>', "a prefix for the vocabulary"),
    _html("RDFa with rel", '<div typeof="schema:Product"><h1 property="schema:name">Brass kettle</h1><div rel="schema:offers"><div typeof="schema:Offer">'
        '<i property="schema:price">24.50</i><i property="schema:priceCurrency">EUR</i></div></div></div>', "RDFa's chaining"),
    _html("OpenGraph product", "<h1>Brass kettle</h1>", "Meta's catalogue properties",
        _metas(("og:type", "product"), ("og:title", "Brass kettle"), ("product:price:amount", "24.50"), ("product:price:currency", "EUR"))),
    _html("og:price", "<h1>Brass kettle</h1>", "an older spelling", _metas(("og:type", "og:product"), ("og:title", "Brass kettle"), ("og:price:amount", "24,50"), ("og:price:currency", "EUR"))),
    _html("properties in name=", "<h1>Brass kettle</h1>", "the wrong attribute, in many templates",
        '<meta name="og:title" content="Brass kettle"><meta name="og:type" content="product"><meta name="product:price:amount" content="24.50"><meta name="product:price:currency" content="EUR">'),
    _html("sale price", "<h1>Brass kettle</h1>", "the sale price rules, the other one is the list price", _metas(("og:type", "product"), ("og:title", "Brass kettle"), ("product:price:amount", "30"),
        ("product:price:currency", "EUR"), ("product:sale_price:amount", "24.50"), ("product:sale_price:currency", "EUR")), list_price="30"),
    _html("sale that is over", "<h1>Brass kettle</h1>", "the sale's dates are over", _metas(("og:type", "product"), ("og:title", "Brass kettle"), ("product:price:amount", "24.50"),
        ("product:price:currency", "EUR"), ("product:sale_price:amount", "19"), ("product:sale_price_dates:end", "2026-05-31T23:59"))),
    _html("JSON-LD and OpenGraph fill each other", "<h1>Brass kettle</h1>", "the currency is only in the properties",
        ld(product(offers={"price": "24.50"})) + _metas(("og:title", "Brass kettle"), ("product:price:amount", "24.50"), ("product:price:currency", "EUR"))),
    _html("XHTML", "<h1>Brass kettle</h1>", "an XML declaration inside", '<?xml version="1.0" encoding="utf-8"?>' + ld(product())),
]  # fmt: skip
