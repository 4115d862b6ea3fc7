"""Numbers and amounts of money as shops write them: ``1.299,00 €``, ``1’299.–``, ``,89``, ``1.2k``, ``4,5 von 5``.

Own, because none of price-parser's ways to widen what it reads (it takes the first number of a text, whatever stands at
the currency) helps here, and it brings 5 MB: see docs/products.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from jobs.products.reading.words import kind_of_amount

#: Longer texts are no numbers, nor amounts; the bound keeps the arithmetic small.
_MAX_LENGTH = 200
#: Nothing that a shop sells or counts needs 15 digits.
_TOO_LARGE = Decimal("1e15")

#: Signs of one currency only. "$", "¥" and "kr" are those of several, so they say nothing.
_SIGNS = {
    **dict(zip("€£₹₽₺₩₪₴₫฿₱₦₸₾₼", ["EUR", "GBP", "INR", "RUB", "TRY", "KRW", "ILS", "UAH", "VND", "THB", "PHP", "NGN", "KZT", "GEL", "AZN"], strict=True)),
    "US$": "USD", "U$S": "USD", "C$": "CAD", "CA$": "CAD", "CAD$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD",
    "HK$": "HKD", "NT$": "TWD", "S$": "SGD", "SG$": "SGD", "MX$": "MXN", "R$": "BRL", "S/": "PEN", "S/.": "PEN",
    "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "lei": "RON", "лв": "BGN", "руб": "RUB", "р.": "RUB", "грн": "UAH",
    "TL": "TRY", "円": "JPY", "元": "CNY", "원": "KRW", "đ": "VND", "Rp": "IDR", "RM": "MYR", "Fr.": "CHF", "SFr.": "CHF",
    "Euro": "EUR", "euros": "EUR", "RMB": "CNY", "د.إ": "AED", "ر.س": "SAR", "Rs.": "INR", "CN¥": "CNY", "JP¥": "JPY",
}  # fmt: skip
_UNSURE_SIGNS = ("$", "¥", "￥", "kr.", "kr", ":-")
#: ISO 4217 codes of what shops sell for: other words of three capitals are no currencies.
_CODES = frozenset(
    [
        "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
        "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY",
        "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP",
        "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR",
        "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KRW", "KWD", "KYD", "KZT", "LAK",
        "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR",
        "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP",
        "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP",
        "SLE", "SOS", "SRD", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH",
        "UGX", "USD", "UYU", "UZS", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XOF", "XPF", "YER", "ZAR", "ZMW",
    ]
)  # fmt: skip
#: Currencies whose amounts have three decimal places.
_THREE_PLACES = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])

_CURRENCY = "|".join(
    [
        *sorted(
            (re.escape(sign) for sign in (*_SIGNS, *_UNSURE_SIGNS) if not sign[0].isalpha()), key=len, reverse=True
        ),
        *(
            f"(?<![^\\W\\d_]){re.escape(sign)}(?![^\\W\\d_])"
            for sign in sorted((one for one in (*_SIGNS, *_UNSURE_SIGNS) if one[0].isalpha()), key=len, reverse=True)
        ),
        "(?<![A-Za-z])(?:" + "|".join(sorted(_CODES)) + ")(?![A-Za-z])",
        r"(?<![A-Za-z])R(?=\s?\d)",
    ]
)
#: Digits with what may group them; spaces group by threes only.
_RUN = r"(?:\d+(?:['’`´٬]\d+|[.,]\d+|[ \u00a0]\d{3}(?!\d))*+|(?<![\d.,])[.,]\d+)"
_NUMBER = re.compile(rf"(?P<minus>[-−])?(?P<number>{_RUN})(?:[.,][-–—]{{1,2}})?(?!\d)")
_SIGN_BEFORE = re.compile(rf"({_CURRENCY})[ \u00a0]{{0,2}}\Z")
_SIGN_AFTER = re.compile(rf"[ \u00a0]{{0,2}}({_CURRENCY})")
_CODE = re.compile(rf"[ \u00a0]{{0,2}}({'|'.join(sorted(_CODES))})(?![A-Za-z])")
_PLAIN = re.compile(rf"(?<![\w.,])(?P<number>{_RUN})(?![\d%])(?!\s?%)")
_MULTIPLIERS = {
    **dict.fromkeys(("k", "tsd", "tsd.", "tys", "tys.", "тыс", "тыс.", "mil", "bin", "천", "千", "rb"), 10**3),
    **dict.fromkeys(("万", "萬", "만"), 10**4),
    **dict.fromkeys(("m", "mio", "mio.", "mln", "млн"), 10**6),
}
_TIMES = "|".join(map(re.escape, sorted(_MULTIPLIERS, key=len, reverse=True)))
_COUNT = re.compile(rf"(?P<number>{_RUN})(?:\s?(?P<times>{_TIMES})(?![^\W\d_]))?", re.IGNORECASE)
_SCALE = re.compile(
    rf"(?P<value>{_RUN})\s*(?:/|von|of|out of|sur|su|de|di|z|из|van|av|af|分?\s?[(（]?\s?满分)\s*(?P<best>{_RUN})"
    rf"|(?P<best_first>{_RUN})\s*(?:つ星のうち|点満点中|üzerinden|점 만점에)\s*(?P<value_last>{_RUN})",
    re.IGNORECASE,
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_RAISED_CENTS = re.compile(r"(?<=\d)[.,]?([⁰¹²³⁴⁵⁶⁷⁸⁹]{2})(?![⁰¹²³⁴⁵⁶⁷⁸⁹])")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, and perhaps the money that it counts. `other` is its other reading: ``1.299`` is 1.299 or 1299."""

    value: Decimal
    other: Decimal | None = None
    currency: str = ""  #: ISO 4217, or '' when the sign is that of several or missing
    kind: str = ""  #: of `words.kind_of_amount`; '' for what a thing costs
    signed: bool = False  #: whether a currency stood beside it


def amounts(text: str) -> Iterator[Amount]:
    """Yield the amounts with a currency in a text that people read, in order."""
    text = folded(text)
    taken = 0  # up to here signs belong to numbers before
    for found in _NUMBER.finditer(text):
        start, end = found.span()
        before = _SIGN_BEFORE.search(text[max(taken, start - 8) : start])
        after = None if before else _SIGN_AFTER.match(text, end)
        beside = text[start - 1] if start else " "
        if not (before or after) or (not before and (beside.isalnum() or beside in "_.,")):
            continue
        if found["minus"] and not beside.isalnum():  # not a range's dash
            continue
        sign = (before or after)[1]  # type: ignore[index]
        start, end = start - (len(before[0]) if before else 0), after.end() if after else end
        taken = end
        if sign in _UNSURE_SIGNS and (code := _CODE.match(text, end)):  # "$1,299.00 USD"
            sign = code[1]
        currency = currency_of(sign)
        readings = _readings(found["number"], human=True, currency=currency)
        if readings and 0 < readings[0] < _TOO_LARGE:
            kind = kind_of_amount(text[max(0, start - 48) : start], text[end : end + 32])
            yield Amount(readings[0], readings[1], currency, kind, signed=True)


def price(text: str, currency: str = "") -> Amount | None:
    """Return the price that a text written for machines means, which may be one written for people."""
    text = folded(text)[:_MAX_LENGTH]
    if readings := _readings(text, human=False, currency=currency):
        return Amount(readings[0], readings[1]) if 0 < readings[0] < _TOO_LARGE else None
    found = [one for one in amounts(text) if not one.kind] or list(amounts(text))
    if found:
        return min(found, key=lambda one: one.value)
    for plain in _PLAIN.finditer(text):
        readings = _readings(plain["number"], human=False, currency=currency)
        if readings and 0 < readings[0] < _TOO_LARGE:
            kind = kind_of_amount(
                text[max(0, plain.start() - 48) : plain.start()], text[plain.end() : plain.end() + 32]
            )
            return Amount(readings[0], readings[1], kind=kind)
    return None


def number(text: str) -> Decimal | None:
    """Return the first number in `text`, or None."""
    text = folded(text)[:_MAX_LENGTH]
    readings = _readings(text, human=False) or next(
        (found for one in _PLAIN.finditer(text) if (found := _readings(one["number"], human=False))), None
    )
    return readings[0] if readings and abs(readings[0]) < _TOO_LARGE else None


def count(text: str) -> int | None:
    """Return the whole number in `text`, where dots and commas only group digits, or None: ``1.2k`` is 1200."""
    found = _COUNT.search(folded(text)[:_MAX_LENGTH])
    if not found:
        return None
    digits = found["number"]
    if found["times"]:
        value = (
            Decimal(re.sub(r"[^\d.]", "", digits.replace(",", ".")))
            if digits.count(".") + digits.count(",") < 2
            else None
        )
        return None if value is None else int(value * _MULTIPLIERS[found["times"].lower()])
    parts = re.split(r"[.,]", digits)
    if len(parts) == 2 and len(parts[1]) != 3:  # "12.0"
        parts = parts[:1]
    value_text = re.sub(r"\D", "", "".join(parts))
    return int(value_text) if 0 < len(value_text) <= 15 else None


def on_scale(text: str) -> tuple[Decimal, Decimal | None] | None:
    """Return a rating's value and the best one, where the text says it: ``4,5 von 5``, ``92 %``, ``4.5``."""
    text = folded(text)[:_MAX_LENGTH]
    if found := _SCALE.search(text):
        value = _readings(found["value"] or found["value_last"], human=False)
        best = _readings(found["best"] or found["best_first"], human=False)
        if value and best:
            return value[0], best[0]
    if found := re.search(rf"({_RUN})\s?[%٪]", text):
        value = _readings(found[1], human=False)
        return (value[0], Decimal(100)) if value else None
    value_only = number(text)
    return None if value_only is None else (value_only, None)


def currency_of(text: str) -> str:
    """Return the ISO 4217 code that `text`, a code, a sign or a price with its sign, surely means, or ''."""
    text = text.strip()[:_MAX_LENGTH]
    if text.upper() in _CODES:
        return text.upper()
    if text in _SIGNS:
        return _SIGNS[text]
    if text == "R":
        return "ZAR"
    if any(character.isdigit() for character in text):
        return next((one.currency for one in amounts(text) if one.currency), "")
    return next((_SIGNS[sign] for sign in _SIGNS if sign.lower() == text.lower()), "")


def folded(text: str) -> str:
    """Return `text` with ASCII digits, marks and spaces in place of those of other scripts."""
    text = text[:20_000]
    if text.isascii():
        return text
    text = _RAISED_CENTS.sub(lambda found: "." + found[1].translate(_SUPERSCRIPTS), text)
    return "".join(_folded(character) for character in text)


def _folded(character: str) -> str:
    if character < "\x80":
        return character
    digit = unicodedata.decimal(character, -1)
    if digit >= 0:
        return str(digit)
    if character in "\u2009\u202f\u2007\u2008\u2006\u205f\u3000":
        return "\u00a0"
    if character in "٫،，":
        return ","
    if character == "．":
        return "."
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    return character


def _readings(text: str, *, human: bool, currency: str = "") -> tuple[Decimal, Decimal | None] | None:
    """Return what a number alone may mean, likeliest first; None when `text` is none.

    People group digits by threes; a machine's ``1.299`` has a decimal point, as schema.org wants it.
    """
    digits = re.sub(r"['’`´٬\s\u00a0]", "", text.strip())
    if not re.fullmatch(r"[-+]?(?:\d[\d.,]{0,39}|[.,]\d{1,20}|\d(?:\.\d+)?[eE][+-]?\d{1,2})", digits):
        return None
    marks = re.sub(r"[^.,]", "", digits)
    places = len(digits) - max(digits.rfind("."), digits.rfind(",")) - 1
    if not marks:
        return _decimal(digits), None
    if len(set(marks)) == 2:  # the last one parts the cents, and the others group
        if marks.count(marks[-1]) > 1:
            return None
        other = "." if marks[-1] == "," else ","
        return _decimal(digits.replace(other, "").replace(marks[-1], ".")), None
    grouped = _grouped(digits, marks[0])
    if len(marks) > 1:
        if grouped is None and places == 2:  # 1.299.00
            grouped = _grouped(digits[:-3], marks[0])
            grouped = None if grouped is None else grouped + _decimal(digits[-2:]) / 100
        return None if grouped is None else (grouped, None)
    decimal = _decimal(digits.replace(",", ".").rstrip("."))
    if grouped is None or places != 3 or digits.lstrip("-+").startswith("0"):
        return decimal, None
    if currency in _THREE_PLACES or (marks == "." and not human):
        return decimal, grouped
    return grouped, decimal


def _grouped(digits: str, mark: str) -> Decimal | None:
    """Return the number whose digits `mark` groups, by threes or as in India."""
    first, *groups = digits.lstrip("-+").split(mark)
    by_threes = all(len(group) == 3 for group in groups)
    indian = len(groups[-1]) == 3 and all(len(group) == 2 for group in groups[:-1])
    if not 1 <= len(first) <= 3 or not (by_threes or indian):
        return None
    return _decimal(digits.replace(mark, ""))


def _decimal(digits: str) -> Decimal:
    try:
        value = Decimal(digits)
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -4:  # 19.990000000000002, as floats are printed
            return value.quantize(Decimal("0.01"))
    except InvalidOperation:  # more digits than any number needs
        return Decimal(0)
    return value
