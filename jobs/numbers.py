"""Numbers as web pages write them: ``1299.00``, ``1.299,00 €``, ``4,5``, ``1,284 ratings``."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from price_parser import parse_price

#: Longer texts are no numbers; the bound keeps the arithmetic small.
_MAX_LENGTH = 40
#: Symbols that stand for one currency only. "$" and "¥" stand for several, so they say nothing.
_SYMBOLS = {
    **dict(zip("€£₹₽₺₩₪₴", ("EUR", "GBP", "INR", "RUB", "TRY", "KRW", "ILS", "UAH"), strict=True)),
    **dict.fromkeys(("C$", "CA$"), "CAD"),
    **dict.fromkeys(("A$", "AU$"), "AUD"),
    "US$": "USD",
    "R$": "BRL",
    "zł": "PLN",
    "Kč": "CZK",
}


def number(text: str) -> Decimal | None:
    """Return the number in `text`, or None.

    A plain ``1299.000`` is read as schema.org wants it (the dot is decimal); anything else by custom.
    """
    if len(text) > _MAX_LENGTH:
        return None
    try:
        value: Decimal | None = Decimal(text)
    except InvalidOperation:
        value = parse_price(text).amount
    # "1e999999" is a number to Decimal, but no price: nothing that a shop sells needs 15 digits.
    return value if value is not None and value.is_finite() and abs(value) < Decimal("1e15") else None


def positive(text: str) -> Decimal | None:
    """Return the number in `text` if it is above zero: shops write a price of 0 when they have none."""
    value = number(text)
    return value if value is not None and value > 0 else None


def count(text: str) -> int | None:
    """Return the whole number in `text`, where dots and commas only group digits, or None."""
    value = parse_price(text).amount if len(text) <= _MAX_LENGTH else None
    return None if value is None or value >= Decimal("1e15") else int(value)


def currency_code(text: str) -> str:
    """Return the ISO 4217 code that `text`, a code or a price with its symbol, surely means, or ''."""
    if len(text) == 3 and text.isascii() and text.isalpha():
        return text.upper()
    symbol = parse_price(text).currency or "" if len(text) <= _MAX_LENGTH else ""
    if len(symbol) == 3 and symbol.isascii() and symbol.isalpha() and symbol.isupper():
        return symbol
    return _SYMBOLS.get(symbol, "")
