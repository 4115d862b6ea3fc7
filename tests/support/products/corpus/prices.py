"""Pages that state several amounts: which one a shopper pays now for a new one that can be bought."""

from __future__ import annotations

from typing import Any

from tests.support.products.corpus.snippet import Snippet, ld, offer, page, product

_OUT = "https://schema.org/OutOfStock"
_IN = "https://schema.org/InStock"


def _(shape: str, why: str, offers: Any, body: str = "", head: str = "", **right: object) -> Snippet:
    return Snippet(
        shape, page(head + ld(product(offers=offers)), f"<h1>Brass kettle</h1>{body}" if body else ""), dict(right), why
    )


def _spec(price: Any, **properties: Any) -> dict[str, Any]:
    return {"@type": "UnitPriceSpecification", "price": price, "priceCurrency": "EUR", **properties}


SNIPPETS = [
    _("cheapest of those that can be bought", "a sold-out price buys nothing", [offer(5, availability=_OUT), offer(9, availability=_IN), offer(7, availability=_IN)], price="7", available=True, other={("sold-out", "5")}),
    _("aggregate with inner offers", "inner offers rule over lowPrice", {"@type": "AggregateOffer", "lowPrice": 50, "highPrice": 90, "priceCurrency": "EUR", "offers": [offer(50, availability=_OUT), offer(90, availability=_IN)]}, price="90", available=True),
    _("aggregate, all sold out", "nothing can be bought", {"@type": "AggregateOffer", "lowPrice": 50, "priceCurrency": "EUR", "offers": [offer(50, availability=_OUT), offer(90, availability="SoldOut")]}, price="50", available=False),
    _("aggregate alone", "a range's low end", {"@type": "AggregateOffer", "lowPrice": 10, "highPrice": 30, "priceCurrency": "EUR"}, price="10"),
    _("used beside new", "a new one", [offer(99, itemCondition="https://schema.org/UsedCondition"), offer(599, itemCondition="https://schema.org/NewCondition")], price="599", condition="", other={("used", "99")}),
    _("refurbished beside new", "a new one", [offer(399, itemCondition="RefurbishedCondition"), offer(599)], price="599", other={("refurbished", "399")}),
    _("only used", "told as used", [offer(99, itemCondition="https://schema.org/UsedCondition")], price="99", condition="used"),
    _("new one sold out", "sold out is not used", [offer(99, itemCondition="UsedCondition", availability=_IN), offer(599, availability=_OUT)], price="599", available=False, other={("used", "99")}),
    _("instalment by billingDuration", "a month's rate is not the price", [offer(599), {"priceSpecification": _spec(24.99, billingDuration="P1M")}], price="599", other={("instalment", "24.99")}),
    _("instalment by component type", "a month's rate is not the price", offer(599, priceSpecification=[_spec(24.99, priceComponentType="https://schema.org/Installment")]), price="599", other={("instalment", "24.99")}),
    _("down payment", "a deposit is not the price", offer(599, priceSpecification=[_spec(100, priceComponentType="https://schema.org/Downpayment")]), price="599", other={("deposit", "100")}),
    _("price per kilogram", "a unit price is not the price", offer(6, priceSpecification=[_spec(12, referenceQuantity={"value": 1, "unitCode": "KGM"})]), price="6", other={("unit", "12")}),
    _("price per kilogram first", "also where it stands first", [{"priceSpecification": _spec(2, referenceQuantity={"value": "100", "unitCode": "GRM"})}, offer(6)], price="6"),
    _("unit pricing measure", "with a base measure the price is the whole one", {"priceSpecification": _spec(81, referenceQuantity={"value": "4.5", "unitCode": "CLT", "valueReference": {"value": 1, "unitCode": "CLT"}})}, price="81"),
    _("member price", "not everybody is a member", offer(30, priceSpecification=[_spec(24, validForMemberTier={"@type": "MemberProgramTier", "name": "Gold"})]), price="30", other={("membership", "24")}),
    _("trade-in by name", "what a shop pays for an old one", [{**offer(80), "name": "Trade-in"}, offer(599)], price="599", other={("trade-in", "80")}),
    _("trade-in by function", "what a shop pays for an old one", [offer(80, businessFunction="http://purl.org/goodrelations/v1#Buy"), offer(599)], price="599", other={("trade-in", "80")}),
    _("rental", "renting is not buying", [offer(15, businessFunction="http://purl.org/goodrelations/v1#LeaseOut"), offer(599)], price="599", other={("rental", "15")}),
    _("shipping as a specification", "shipping is not the price", offer(None, priceSpecification=[{"@type": "DeliveryChargeSpecification", "price": 4.99, "priceCurrency": "EUR"}, _spec(24.5)]), price="24.5", other={("shipping", "4.99")}),
    _("ten for less", "the price of ten", [offer(20, eligibleQuantity={"minValue": 10}), offer(24.5)], price="24.5", other={("bulk", "20")}),
    _("business price", "for traders only", [offer(19, eligibleCustomerType="http://purl.org/goodrelations/v1#Business"), offer(24.5)], price="24.5"),
    _("net beside gross", "a shopper pays the tax", {"priceSpecification": [_spec(20.59, valueAddedTaxIncluded=False), _spec(24.5, valueAddedTaxIncluded=True)]}, price="24.5", other={("net", "20.59")}),
    _("list price", "the list price is what it costs without a discount", offer(79, priceSpecification=[_spec(99, priceType="https://schema.org/ListPrice")]), price="79", list_price="99"),
    _("strikethrough price", "a struck price is a list price", offer(79, priceSpecification=[_spec(99, priceType="https://schema.org/StrikethroughPrice")]), price="79", list_price="99"),
    _("sale price beside the regular one", "the sale price is what is paid now", offer(99, priceSpecification=[_spec(79, priceType="https://schema.org/SalePrice", validThrough="2026-12-31")]), price="79", list_price=None),
    _("sale that is over", "its dates are over", offer(99, priceSpecification=[_spec(79, priceType="https://schema.org/SalePrice", validThrough="2026-05-31")]), price="99", other={("expired", "79")}),
    _("sale that has not begun", "its dates are to come", [offer(79, validFrom="2026-07-01", validThrough="2026-07-31"), offer(99)], price="99", other={("later", "79")}),
    _("offer that is over beside one that is not", "the one that holds", [offer(79, priceValidUntil="2026-06-01"), offer(99, priceValidUntil="2026-12-31")], price="99"),
    _("only an old date", "shops forget to renew it: the price, a little doubted", offer(79, priceValidUntil="2025-12-31"), price="79"),
    _("a month's rate by the offer's description", "also where only a sentence says so", [{**offer(24.99), "description": "per month for 24 months"}, offer(599)], price="599", other={("instalment", "24.99")}),
    _("members by customer type", "not everybody is a member", [offer(400, eligibleCustomerType="Member"), offer(500)], price="500", other={("membership", "400")}),
    _("MonetaryAmount for a price", "a node where a number should be", {"@type": "Offer", "price": {"@type": "MonetaryAmount", "value": "24.50", "currency": "EUR"}}, price="24.50", currency="EUR"),
    _("offers as a text of JSON", "encoded once too often", '{"@type": "Offer", "price": "24.50", "priceCurrency": "EUR"}', price="24.50"),
    _("highPrice alone", "better than nothing, with doubt", {"@type": "AggregateOffer", "highPrice": 30, "priceCurrency": "EUR"}, price="30", doubtful=True),
    _("condition in a sentence", "its first word tells", [offer(300, itemCondition="gebraucht - sehr gut"), offer(500)], price="500", other={("used", "300")}),
    _("date in words", "a month's name", [offer(300, priceValidUntil="31 December 2025"), offer(500, priceValidUntil="31. Dezember 2026")], price="500"),
    _("1.299 in EUR, struck price 1.499,00", "what it did cost tells what the dot means", offer("1.299"), body="<p>Statt 1.499,00 € nur noch kurz</p>", price="1299"),
    _("minPrice", "a range as a specification", {"priceSpecification": {"@type": "PriceSpecification", "minPrice": 10, "maxPrice": 30, "priceCurrency": "EUR"}}, price="10"),
    _("price as a range", "the low end of a range", offer("24.50 - 39.00"), price="24.50"),
    _("offer as a text", "no node, but a price", "24.50 EUR", price="24.50"),
    _("two currencies", "the page shows euros", [offer(26, priceCurrency="USD"), offer(24.5)], body="<p class=price>24,50 €</p>", price="24.5", currency="EUR", other={("other-currency", "26")}),
    _("cheaper number in another currency", "numbers of two currencies do not compare", [offer(599, priceCurrency="EUR"), offer(499, priceCurrency="GBP")], price="599", currency="EUR"),
    _("zero and nonsense beside a price", "a price of 0 is none", [offer(0), offer("call us"), offer("-3"), offer(24.5)], price="24.5"),
    _("variant of the address", "the address names the variant", [offer(20, url="https://shop.example/p/1?variant=2"), offer(24.5, url="https://shop.example/p/1")], price="20"),
    _("text shows the dearer variant", "what people see is the chosen variant's", [offer(20), offer(24.5)], body="<p class=price>24,50 €</p>", price="24.5", other=set()),
    _("JSON-LD against the text", "the visible one wins, with doubt", offer(19.99), body="<p class=price>24,50 €</p>", price="24.50", doubtful=True),
    _("JSON-LD against og, text decides", "two against one", offer(19.99), head='<meta property="product:price:amount" content="24.50"><meta property="product:price:currency" content="EUR"><meta property="og:title" content="Brass kettle">',
        body="<p class=price>24,50 €</p>", price="24.50"),
    _("JSON-LD against og, nothing decides", "the first source, with doubt", offer(19.99), head='<meta property="product:price:amount" content="24.50"><meta property="og:title" content="Brass kettle">', price="19.99", doubtful=True),
    _("data and text agree but for cents", "rounded is the same", offer(24.49), body="<p class=price>ab 24,50 €</p>", price="24.49", doubtful=False),
    _("cents in an element of their own", "24 and 50 are 24.50", offer(24.5), body="<p class=price>€<b>24</b><sup>50</sup></p>", price="24.5", doubtful=False),
    _("struck price in the text", "struck is not current", offer(24.5), body="<p><s>39,00 €</s> <b class=price>24,50 €</b></p>", price="24.5", list_price="39.00"),
    _("unit price in the text", "the text's unit price is no vote", offer(6), body='<p class=price>6,00 € <span class="unit-price">12,00 €/kg</span></p>', price="6", doubtful=False),
    _("shipping and instalment in the text", "nor are these", offer(599), body="<p class=price>599 €</p><p>oder ab 24,99 € / Monat</p><p>Versand 4,99 €</p>", price="599", doubtful=False),
    _("related products' prices in the text", "nor others' prices", offer(599), body='<p class=price>599 €</p><div class="related-products"><p class=price>3 €</p></div>', price="599", doubtful=False),
    _("only others' prices in the text", "no vote against the page's own", offer(599), body='<h2>You may also like</h2><p class=price>3 €</p>', price="599", doubtful=False),
    _("1.299 in EUR, text says 1.299,00", "the text tells what the dot means", offer("1.299"), body="<p class=price>1.299,00 €</p>", price="1299", doubtful=False),
    _("1.299 in EUR, og says 1299", "another source tells what the dot means", offer("1.299"), head='<meta property="og:title" content="Brass kettle"><meta property="product:price:amount" content="1299.00">', price="1299"),
    _("1.299 in EUR, list price 1.499,00", "its neighbour tells what the dot means", offer("1.299", priceSpecification=[_spec("1.499,00", priceType="ListPrice")]), price="1299"),
    _("1.299 in EUR alone", "schema.org's dot is decimal; with doubt", offer("1.299"), price="1.299", doubtful=True),
    _("1.299 in KWD", "a currency of three places", offer("1.299", priceCurrency="KWD"), price="1.299", doubtful=False),
    _("12.000 in IDR", "a currency without places", offer("12.000", priceCurrency="IDR"), price="12000", doubtful=False),
    _("no price", "an offer without one", {"@type": "Offer", "availability": _IN}, price=None, available=True),
    _("price only in the text", "read, with doubt", {"@type": "Offer", "availability": _IN}, body="<p class=price>24,50 €</p>", price="24.50", doubtful=True),
    _("data say in stock, text says sold out", "nothing to buy by", offer(24.5, availability=_IN), body="<p class=price>24,50 €</p><button disabled>Sold out</button>", price="24.5", doubtful=True),
    _("inventory of 0", "an empty shelf", offer(24.5, inventoryLevel={"@type": "QuantitativeValue", "value": 0}), price="24.5", available=False),
]  # fmt: skip
