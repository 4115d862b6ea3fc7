"""Numbers, counts, ratings and amounts as shops write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.products.reading.numbers import amounts, count, currency_of, number, on_scale, price


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1299.00", "1299.00"),
        ("1299.000", "1299.000"),
        ("1,299.00", "1299.00"),
        ("1.299,00 €", "1299.00"),
        ("$1,299", "1299"),
        ("79,9", "79.9"),
        ("1.2.3", None),
        ("", None),
        ("call us", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e99", None),
        ("9" * 41, None),
    ],
)
def test_the_first_number_of_a_text(text: str, value: str | None) -> None:
    assert number(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("2 pairs from $349", "349", ""),
        (",89 €", "0.89", "EUR"),
        ("1’299.00", "1299.00", ""),
        ("1’299.–", "1299", ""),
        ("1'299.00", "1299.00", ""),
        ("CHF 12.-", "12", "CHF"),
        ("12,–", "12", ""),
        ("1.299,- €", "1299", "EUR"),
        ("1\u202f299,00\xa0€", "1299.00", "EUR"),
        ("1 299 ₽", "1299", "RUB"),
        ("₹1,29,999.00", "129999.00", "INR"),
        ("Rp1.299.000", "1299000", "IDR"),
        ("１，２９９円", "1299", "JPY"),
        ("١٬٢٩٩٫٥٠ ر.س", "1299.50", "SAR"),
        ("۱۲۹۹ ₽", "1299", "RUB"),
        ("19⁹⁹ €", "19.99", "EUR"),
        ("19.990000000000002", "19.99", ""),
        ("1.299.00", "1299.00", ""),
        ("19.99 incl. 19% VAT", "19.99", ""),
        ("iPhone 15 128 GB 999 €", "999", "EUR"),
        ("was $29.99 now $19.99", "19.99", ""),
        ("UVP 39,99 € 29,99 €", "29.99", "EUR"),
        ("29,99 € statt 39,99 €", "29.99", "EUR"),
        ("19,99 € (12,90 €/kg)", "19.99", "EUR"),
        ("599 € oder 24,99 € / Monat", "599", "EUR"),
        ("12x R$ 99,90 ou R$ 999,00", "999.00", "BRL"),
        ("19.99 € + 4.99 € shipping", "19.99", "EUR"),
        ("1.299 KWD", "1.299", "KWD"),
    ],
)
def test_the_price_in_a_text(text: str, value: str, currency: str) -> None:
    found = price(text)
    assert found is not None
    assert (found.value, found.currency, found.kind) == (Decimal(value), currency, "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("24,99 € / Monat", "instalment"),
        ("4 payments of $25.00", "instalment"),
        ("3x 33,33 €", "instalment"),
        ("12,90 €/kg", "unit"),
        ("(1 kg = 12,90 €)", "unit"),
        ("1,99 € / 100 g", "unit"),
        ("Versand 4,95 €", "shipping"),
        ("Free shipping over 50 €", "shipping"),
        ("Anzahlung: 100 €", "deposit"),
        ("0,25 € Pfand", "deposit"),
        ("Trade-in value up to $300", "trade-in"),
        ("Members pay $15", "membership"),
        ("Save $20", "saving"),
        ("$20 off", "saving"),
        ("statt 39,99 €", "list"),
        ("RRP £39.99", "list"),
        ("au lieu de 39,99 €", "list"),
        ("used from $99", "used"),
        ("gebraucht ab 99 €", "used"),
    ],
)
def test_words_beside_an_amount_say_that_it_is_not_the_price(text: str, kind: str) -> None:
    assert [one.kind for one in amounts(text)] == [kind]


def test_a_dot_before_three_digits_may_mean_two_things() -> None:
    machine, people = price("1.299"), price("1.299 €")
    assert machine is not None
    assert people is not None
    assert (machine.value, machine.other) == (Decimal("1.299"), Decimal(1299))
    assert (people.value, people.other) == (Decimal(1299), Decimal("1.299"))
    for sure in ("0.999", "1299.000", "12.99", "1.299,00"):
        assert (found := price(sure)) is not None
        assert found.other is None


@pytest.mark.parametrize("text", ["call us", "0", "0.00 €", "-3", "", "free", "1.2.3", "9" * 30])
def test_what_is_no_price(text: str) -> None:
    assert price(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.284 Bewertungen", 1284),
        ("1,284", 1284),
        ("1’284", 1284),
        ("12", 12),
        ("12.0", 12),
        ("1.2k", 1200),
        ("1.2K reviews", 1200),
        ("3,4 Tsd.", 3400),
        ("1.2万", 12000),
        ("2,5 млн", 2_500_000),
        ("１２", 12),
        ("", None),
        ("x", None),
    ],
)
def test_counts_group_their_digits(text: str, value: int | None) -> None:
    assert count(text) == value


@pytest.mark.parametrize(
    ("text", "value", "best"),
    [
        ("4,5 von 5", "4.5", "5"),
        ("4.5 out of 5 stars", "4.5", "5"),
        ("4.5/5", "4.5", "5"),
        ("92 %", "92", "100"),
        ("5つ星のうち4.3", "4.3", "5"),
        ("5 üzerinden 4,5", "4.5", "5"),
        ("4,5", "4.5", None),
        ("٤٫٥", "4.5", None),
    ],
)
def test_a_rating_may_name_its_scale(text: str, value: str, best: str | None) -> None:
    assert on_scale(text) == (Decimal(value), None if best is None else Decimal(best))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("EUR", "EUR"),
        ("usd", "USD"),
        ("19 €", "EUR"),
        ("£5", "GBP"),
        ("CA$5", "CAD"),
        ("zł", "PLN"),
        ("$5", ""),
        ("¥5", ""),
        ("NEW", ""),
        ("", ""),
        ("12", ""),
    ],
)
def test_a_currency_is_named_only_when_it_is_sure(text: str, code: str) -> None:
    assert currency_of(text) == code


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,' €$-kgKW/x%\u202f１٣", max_size=40))
def test_no_text_breaks_them(text: str) -> None:
    found = price(text)
    assert found is None or 0 < found.value < 10**15
    assert all(one.value > 0 for one in amounts(text))
    assert (counted := count(text)) is None or counted >= 0
    number(text)
    on_scale(text)
