"""Amounts, dates, availability and characters as shops write them."""

from __future__ import annotations

from tests.support.products.corpus.snippet import Snippet, ld, offer, page, product


def _price(text: str, price: str, why: str, currency: str = "EUR") -> Snippet:
    return Snippet(
        f"price {text}",
        page(ld(product(offers=offer(text, priceCurrency=currency)))),
        {"price": price, "currency": currency},
        why,
    )


def _state(text: str, available: bool, why: str) -> Snippet:
    return Snippet(
        f"availability {text}",
        page(ld(product(offers=offer(availability=text)))),
        {"available": available, "price": "24.50"},
        why,
    )


SNIPPETS = [
    _price("2 pairs from 349 €", "349", "the number at the currency, not the first"),
    Snippet("price $1,299.00 USD", page(ld(product(offers={"price": "$1,299.00 USD"}))), {"price": "1299.00", "currency": "USD"}, "the code tells which dollar"),
    _price("from $349", "349", "a word before", "USD"),
    _price(",89 €", "0.89", "a leading comma"),
    _price("1’299.00", "1299.00", "Switzerland's apostrophe", "CHF"),
    _price("1'299.–", "1299", "Switzerland's dash for no cents", "CHF"),
    _price("1\u202f299,00 €", "1299.00", "France's thin space"),
    _price("1 299,00", "1299.00", "a no-break space"),
    _price("12,–", "12", "a dash for no cents"),
    _price("1.299,- €", "1299", "both"),
    _price("1.299.000", "1299000", "dots that group twice", "IDR"),
    _price("₹1,29,999.00", "129999.00", "India's groups", "INR"),
    _price("１，２９９円", "1299", "full-width digits", "JPY"),
    _price("١٬٢٩٩٫٥٠", "1299.50", "Arabic-Indic digits and marks", "SAR"),
    _price("19⁹⁹ €", "19.99", "raised cents"),
    _price("19.990000000000002", "19.99", "a float, printed"),
    _price("1.5e2", "150", "a number of JSON's"),
    _price("EUR 24.50 incl. 19% VAT", "24.50", "a percentage is no price"),
    _price("statt 39,00 € jetzt 24,50 €", "24.50", "was and is"),
    _price("R$ 999,00 ou 12x R$ 99,90", "999.00", "a rate is no price", "BRL"),
    _state("https://schema.org/InStock", True, "the standard's own"),
    _state("http://schema.org/OutofStock", False, "other capitals"),
    _state("out_of_stock", False, "a feed's spelling"),
    _state("SOLD-OUT", False, "capitals and a hyphen"),
    _state("Out of stock", False, "words"),
    _state("schema:Discontinued", False, "a prefix"),
    _state("https://schema.org/BackOrder", True, "can be ordered"),
    _state("PreOrder", True, "can be ordered"),
    _state("false", False, "a truth value"),
    _state("Nicht vorrätig", False, "German"),
    _state("En rupture de stock", False, "French"),
    _state("Agotado", False, "Spanish"),
    _state("Non disponibile", False, "Italian: holds its opposite"),
    _state("Esgotado", False, "Portuguese"),
    _state("Uitverkocht", False, "Dutch"),
    _state("Produkt niedostępny", False, "Polish"),
    _state("Нет в наличии", False, "Russian: holds its opposite"),
    _state("在庫切れ", False, "Japanese"),
    _state("暂无库存", False, "Chinese"),
    _state("Tükendi", False, "Turkish"),
    _state("품절", False, "Korean"),
    _state("Sofort lieferbar", True, "German"),
    _state("在庫あり", True, "Japanese"),
    Snippet("availability as a node", page(ld(product(offers=offer(availability={"@id": "https://schema.org/SoldOut"})))), {"available": False}, "a reference"),
    Snippet("date with dots", page(ld(product(offers=[offer(5, priceValidUntil="31.12.2025"), offer(9)]))), {"price": "9"}, "a German date"),
    Snippet("date with slashes", page(ld(product(offers=[offer(5, priceValidUntil="12/31/2025"), offer(9)]))), {"price": "9"}, "an American date"),
    Snippet("zero-width characters in a name", page(ld(product(name="Brass\u200b ket\ufefftle"))), {"name": "Brass kettle"}, "nobody sees them"),
    Snippet("entities in a name", page(ld(product(name="Kettle &amp;amp; cup &#8211; brass"))), {"name": "Kettle & cup – brass"}, "escaped twice"),
]  # fmt: skip
