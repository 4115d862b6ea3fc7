"""Which charset a page is read in."""

from __future__ import annotations

import pytest

from jobs.products.encoding import decode_html


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "5 € – Föhn"),
        ("latin1", "cp1252", "5 € – Föhn"),
        ("ascii", "cp1252", "5 € – Föhn"),
        ("iso-8859-9", "cp1254", "5 € ışık"),
        ("windows-1251", "cp1251", "Чайник"),
        ("koi8-r", "koi8-r", "Чайник"),
        ("koi8-u", "koi8-u", "Їжак"),
        ("gb2312", "gb18030", "铜壶€𠀀"),
        ("gbk", "gb18030", "铜壶€𠀀"),
        ("x-gbk", "gb18030", "铜壶"),
        ("big5", "big5hkscs", "銅壺"),
        ("shift_jis", "cp932", "①真鍮のやかん"),
        ("windows-31j", "cp932", "①真鍮のやかん"),
        ("x-sjis", "cp932", "真鍮"),
        ("euc-jp", "euc_jp", "真鍮"),
        ("iso-2022-jp", "iso2022_jp", "真鍮"),
        ("euc-kr", "cp949", "황동 주전자 똠"),
        ("ks_c_5601-1987", "cp949", "황동 똠"),
        ("tis-620", "cp874", "กาต้มน้ำ €"),
        ("x-mac-cyrillic", "mac_cyrillic", "Чайник"),
        ("unicode-1-1-utf-8", "utf-8", "Föhn"),
        ("utf8", "utf-8", "Föhn"),
        (" UTF-8 ", "utf-8", "Föhn"),
        ("utf-16", "utf-16-le", "Föhn"),
        ("utf-16be", "utf-16-be", "Föhn"),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str, codec: str, text: str) -> None:
    assert decode_html(text.encode(codec), label) == text


@pytest.mark.parametrize(
    "label", ["idna", "hex", "rot13", "unicode_escape", "utf-7", "hz-gb-2312", "iso-2022-kr", "", "x" * 999]
)
def test_other_names_of_codecs_are_no_labels(label: str) -> None:
    assert decode_html("Föhn".encode(), label) == "Föhn"


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ('<meta charset="windows-1251">', "cp1251"),
        ("<meta charset=windows-1251>", "cp1251"),
        ('<META HTTP-EQUIV="content-type" CONTENT="text/html; charset=windows-1251">', "cp1251"),
        ('<meta content="text/html;charset=windows-1251" http-equiv=Content-Type>', "cp1251"),
        ('<!-- <meta charset="koi8-r"> --><meta charset="windows-1251">', "cp1251"),
        ("<title>" + "x" * 3000 + '</title><meta charset="windows-1251">', "cp1251"),
        ('<meta charset="nonsense"><meta charset="windows-1251">', "cp1251"),
        ('<?xml version="1.0" encoding="windows-1251"?>', "cp1251"),
        ('<meta charset="utf-16">', "utf-8"),
        ('<html lang="ru">', "cp1251"),
        ("<html lang=ru-RU>", "cp1251"),
        ("", "utf-8"),
    ],
)
def test_what_a_page_says_itself_and_its_language_in_the_last_resort(head: str, codec: str) -> None:
    page = f"{head}<p>Чайник</p>"
    assert decode_html(page.encode(codec), None) == page


def test_the_mark_wins_over_the_header_and_that_over_the_page() -> None:
    assert decode_html(b"\xef\xbb\xbfF\xc3\xb6hn", "windows-1251") == "Föhn"
    assert decode_html("<meta charset=windows-1251>Föhn".encode("cp1252"), "windows-1252").endswith("Föhn")


def test_without_any_declaration_western_bytes_are_western() -> None:
    assert decode_html("5 € – Föhn".encode("cp1252"), None) == "5 € – Föhn"


def test_one_bad_byte_costs_itself_only() -> None:
    assert decode_html(b"F\xc3\xb6hn \xff 5", "utf-8") == "Föhn \ufffd 5"
