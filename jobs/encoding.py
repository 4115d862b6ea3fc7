"""Turn the bytes of an HTML page into text, as browsers do (WHATWG Encoding and HTML §13.2.3)."""

from __future__ import annotations

import codecs

from jobs.html_tree import parse_html

#: A page's own declaration must stand in its first 1024 bytes.
_PRESCAN_BYTES = 1024
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: How Python's names of the web's encodings begin. Its other codecs ("idna", "unicode_escape", "hex")
#: would raise on a page's bytes or run wild with them.
_WEB_ENCODINGS = (
    *("ascii", "utf-8", "utf-16", "iso8859", "iso2022_jp", "cp125", "cp866", "cp874", "koi8", "mac"),
    *("gb", "big5", "euc_", "shift_jis", "cp932", "cp949"),
)
#: Browsers read these labels as windows-1252, which has all of their characters and more.
_REALLY_CP1252 = frozenset({"ascii", "iso8859-1"})


def decode_html(body: bytes, declared: str | None) -> str:
    """Decode `body` by its byte order mark, the `declared` charset of the HTTP header, its <meta>, or UTF-8.

    Bytes that do not fit become U+FFFD, so one bad character costs itself only.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    encoding = _known(declared) or _known(_meta_charset(body)) or "utf-8"
    return body.decode(encoding, "replace")


def _meta_charset(body: bytes) -> str | None:
    for meta in parse_html(body[:_PRESCAN_BYTES].decode("latin-1")).iter("meta"):
        if charset := meta.get("charset"):
            return str(charset)
        if meta.get("http-equiv", "").lower() == "content-type":
            _, _, charset = meta.get("content", "").lower().partition("charset=")
            return str(charset).partition(";")[0]
    return None


def _known(label: str | None) -> str | None:
    """Return Python's name for an encoding of the web, or None when `label` names none."""
    try:
        name = codecs.lookup((label or "").strip(" \t\"'")).name
    except (LookupError, ValueError):
        return None
    if not name.startswith(_WEB_ENCODINGS):
        return None
    return "cp1252" if name in _REALLY_CP1252 else name
