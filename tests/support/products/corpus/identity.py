"""Pages that speak of several products: which one is theirs."""

from __future__ import annotations

from typing import Any

from tests.support.products.corpus.snippet import Snippet, ld, offer, page, product

_DESK = {"@type": "Product", "name": "Oak desk 160", "url": "https://shop.example/p/1", "offers": offer("500")}
_BARE_DESK = {"@type": "Product", "name": "Oak desk 160", "offers": offer("500")}
_CLIP: dict[str, Any] = {
    "@type": "Product", "name": "Cable clip", "sku": "c1", "brand": "Klip", "image": "x.jpg", "description": "A clip", "offers": offer("3"),
    "aggregateRating": {"ratingValue": "4.9", "ratingCount": "900"}, "review": [{"@type": "Review", "reviewBody": "Clips well"}],
}  # fmt: skip
_TITLE = "<title>Oak desk 160 | Shop</title>"
_CANONICAL = '<link rel=canonical href="https://shop.example/p/1">'
_OG = '<meta property="og:title" content="Oak desk 160">'
_RIGHT = {"name": "Oak desk 160", "price": "500", "votes": None, "reviews": 0}


def _(shape: str, why: str, head: str, body: str = "", **right: object) -> Snippet:
    return Snippet(shape, page(head, body), {**_RIGHT, **right}, why)


SNIPPETS = [
    _("recommended in a second block", "title and address name the desk", _TITLE + _CANONICAL + ld(_DESK) + ld(_CLIP)),
    _("recommended first", "title and address name the desk", _TITLE + _CANONICAL + ld(_CLIP) + ld(_DESK)),
    _("both in one list", "the heading names the desk", ld([_CLIP, _BARE_DESK]), "<h1>Oak desk 160</h1>"),
    _("only og:title tells", "og:title names the desk", _OG + ld(_CLIP) + ld(_BARE_DESK)),
    _("only the title tells", "the title names the desk", _TITLE + ld(_CLIP) + ld(_BARE_DESK)),
    _("only the address tells", "the desk's url is the page's", ld([_CLIP, _DESK])),
    _("mainEntity", "the page says what it is about", ld({"@type": "ItemPage", "mainEntity": _BARE_DESK}) + ld(_CLIP)),
    _("mainEntity by reference", "the page says what it is about, by id", ld({"@graph": [_CLIP, {"@id": "#d", **_BARE_DESK}, {"@type": "WebPage", "mainEntity": {"@id": "#d"}}]})),
    _("mainEntityOfPage", "the desk says which page is its own", ld([_CLIP, {**_BARE_DESK, "mainEntityOfPage": "https://shop.example/p/1"}])),
    _("isRelatedTo", "what a product is related to is another one", _TITLE + ld({**_BARE_DESK, "isRelatedTo": [_CLIP], "isAccessoryOrSparePartFor": _CLIP})),
    _("isSimilarTo by reference", "also where it is only referred to", ld({"@graph": [{"@id": "#c", **_CLIP}, {**_BARE_DESK, "isSimilarTo": {"@id": "#c"}}]})),
    _("accessory that refers to the page's product", "what an accessory belongs to may be the page's product", _TITLE + ld({"@graph": [{**_CLIP, "isAccessoryOrSparePartFor": {"@id": "#d"}}, {"@id": "#d", **_BARE_DESK}]})),
    _("warranty in addOn", "an offer's add-on is another product", _TITLE + ld({**_BARE_DESK, "offers": offer("500", addOn=offer("5", itemOffered={**_CLIP, "name": "Warranty"}))})),
    _("itemOffered twice", "an offer names its product again, with less", _TITLE + ld({**_BARE_DESK, "offers": offer("500", itemOffered={"@type": "Product", "name": "Oak desk 160"})})),
    _("bundle", "a bundle's parts are other products", _TITLE + ld({**_BARE_DESK, "offers": [offer("500"), offer("503", includesObject={"@type": "TypeAndQuantityNode", "typeOfGood": _CLIP})]})),
    _("carousel", "a list's entries are not the page's product", _TITLE + ld({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": _CLIP}, {"@type": "ListItem", "item": _CLIP}]}) + ld(_BARE_DESK)),
    _("breadcrumbs and shop", "neither is a product", _TITLE + ld([{"@type": "BreadcrumbList", "itemListElement": [{"@type": "ListItem", "name": "Desks"}]},
        {"@type": "Organization", "name": "Shop", "aggregateRating": {"ratingValue": 4.8, "ratingCount": 5000}}, _BARE_DESK])),
    _("seller's rating", "the shop's rating is not the desk's", _TITLE + ld({**_BARE_DESK, "offers": offer("500", seller={"@type": "Organization", "name": "S", "aggregateRating": {"ratingValue": 4.9, "ratingCount": 9000}})})),
    _("brand's rating", "the brand's rating is not the desk's", _TITLE + ld({**_BARE_DESK, "brand": {"@type": "Brand", "name": "B", "aggregateRating": {"ratingValue": 4.9, "ratingCount": 9000}}})),
    _("microdata carousel", "microdata of recommended products", _TITLE + ld(_BARE_DESK), '<h1>Oak desk 160</h1>'
        + '<div class=related><div itemscope itemtype="https://schema.org/Product"><b itemprop=name>Cable clip</b><p itemprop=offers itemscope><i itemprop=price>3</i></p></div></div>' * 3),
    _("reviews of other products", "a review names what it reviews", _TITLE + ld({**_BARE_DESK, "review": [{"@type": "Review", "reviewBody": "Clips well", "itemReviewed": {"@type": "Product", "name": "Cable clip"}}]})),
    _("latest reviews in the footer", "reviews of the whole shop", _TITLE + ld(_BARE_DESK) + ld([{"@type": "Review", "reviewBody": "Nice lamp", "itemReviewed": {"@type": "Product", "name": "Lamp"}, "reviewRating": {"ratingValue": 5}}])),
    Snippet("review page of a product", page(_TITLE + ld({"@type": "Review", "reviewBody": "Solid.", "reviewRating": {"ratingValue": 4}, "itemReviewed": _BARE_DESK})),
        {"name": "Oak desk 160", "price": "500", "reviews": 1}, "the reviewed thing is the page's"),
    Snippet("one entry that the page is called after", page(_TITLE + ld({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": _BARE_DESK}]}), "<h1>Oak desk 160</h1>"),
        {"name": "Oak desk 160", "price": "500"}, "a list of one"),
    Snippet("title of another product", page("<title>Walnut shelf</title>" + ld(_BARE_DESK), "<h1>Walnut shelf</h1>"), {"name": "Oak desk 160", "doubtful": True},
        "a cached block of another page: taken, but nothing to buy by"),
    Snippet("two products, nothing tells", page(ld([_BARE_DESK, {"@type": "Product", "name": "Walnut shelf", "offers": offer("90")}])), {"doubtful": True}, "either may be meant"),
    Snippet("variants side by side", page("<title>Oak desk</title>" + ld([{**_BARE_DESK, "name": "Oak desk, 160 cm"}, {**_BARE_DESK, "name": "Oak desk, 120 cm", "offers": offer("400")}])), {"price": "500"},
        "the first of the variants that the title fits"),
    Snippet("name with the shop's", page('<title>Buy Oak desk 160 online – Desks – Shop</title>' + ld([_CLIP, {**_BARE_DESK, "name": "Oak desk 160"}])), {"name": "Oak desk 160"}, "words around the name do not hide it"),
    Snippet("Japanese names", page("<title>真鍮のやかん｜店</title>" + ld([{"@type": "Product", "name": "ケーブルクリップ", "offers": offer("3")}, {"@type": "Product", "name": "真鍮のやかん", "offers": offer("2450", priceCurrency="JPY")}])),
        {"name": "真鍮のやかん", "price": "2450"}, "names without spaces"),
    Snippet("nameless", page("<title>Brass kettle</title>" + ld({"@type": "Product", "offers": offer()})), {"name": "Brass kettle", "price": "24.50"}, "the title stands in"),
    Snippet("url of another page", page('<link rel=canonical href="https://shop.example/p/1">' + ld([product(url="https://shop.example/p/9", name="Tea pot"), product(url="/p/1?utm_source=x")])),
        {"name": "Brass kettle"}, "relative, with tracking: still the page's"),
]  # fmt: skip
