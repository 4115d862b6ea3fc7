"""Turn the bytes of an HTML page into text, as browsers do (WHATWG Encoding and HTML §13.2.3)."""

from __future__ import annotations

import codecs
import re

import webencodings

#: Browsers look for a page's own declaration in its first 1024 bytes; shops' heads are longer, and people see them
#: right because browsers go on looking.
_PRESCAN_BYTES = 8192
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*+>", re.IGNORECASE)
_CHARSET = re.compile(rb"""charset\s*+=\s*+["']?\s*+([^\s"'/>;]++)""", re.IGNORECASE)
_XML = re.compile(rb"""\A\s*+<\?xml[^>]{0,200}?encoding\s*+=\s*+["']([^"']{1,40})["']""")
_LANGUAGE = re.compile(rb"""<html[^>]{0,500}?\slang\s*+=\s*+["']?([a-zA-Z]{2})(-[a-zA-Z]{2,4})?""", re.IGNORECASE)
#: What browsers take in a country when a page declares nothing (HTML §13.2.3.2); elsewhere windows-1252.
_BY_LANGUAGE = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "sr", "ky", "kk"), "windows-1251"),
    **dict.fromkeys(("pl", "cs", "hu", "sk", "hr", "sl", "ro"), "windows-1250"),
    "ja": "shift_jis",
    "ko": "euc-kr",
    "zh": "gb18030",
    "tr": "windows-1254",
    "el": "iso-8859-7",
    "he": "windows-1255",
    "ar": "windows-1256",
    "fa": "windows-1256",
    "th": "windows-874",
    "vi": "windows-1258",
    **dict.fromkeys(("lt", "lv", "et"), "windows-1257"),
}
#: Labels that the standard names only to refuse them: their texts can be made to look harmless to filters.
_REFUSED = frozenset({"hz-gb-2312", "iso-2022-cn", "iso-2022-cn-ext", "iso-2022-kr", "csiso2022kr", "replacement"})


def decode_html(body: bytes, declared: str | None) -> str:
    """Decode `body` by its byte order mark, the `declared` charset of the HTTP header, its <meta>, or its looks.

    Labels are those of the WHATWG's table, so ``iso-8859-1`` is windows-1252 and ``gb2312`` is gb18030. Bytes that do
    not fit become U+FFFD: one bad character costs itself only.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    encoding = _known(declared) or _declared_inside(body)
    if encoding is None:
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            encoding = webencodings.lookup(_by_language(body))
    # The standard reads GBK with the decoder of gb18030, which has all of its characters and more.
    codec = codecs.lookup("gb18030") if encoding.name == "gbk" else encoding.codec_info
    text: str = codec.decode(body, "replace")[0]
    return text


def _declared_inside(body: bytes) -> webencodings.Encoding | None:
    head = _COMMENT.sub(b"", body[:_PRESCAN_BYTES])
    labels = [found[1] for meta in _META.findall(head) if (found := _CHARSET.search(meta))]
    if xml := _XML.match(head):
        labels.append(xml[1])
    for label in labels:
        name = label.decode("ascii", "replace").lower()
        # These words could not be read if they were true.
        name = "utf-8" if name.startswith("utf-16") else "windows-1252" if name == "x-user-defined" else name
        if (found := _known(name)) is not None:
            return found
    return None


def _by_language(body: bytes) -> str:
    found = _LANGUAGE.search(body[:_PRESCAN_BYTES])
    if not found:
        return "windows-1252"
    if found[1].lower() == b"zh" and (found[2] or b"").lower() in {b"-tw", b"-hk", b"-hant"}:
        return "big5"
    return _BY_LANGUAGE.get(found[1].decode().lower(), "windows-1252")


def _known(label: str | None) -> webencodings.Encoding | None:
    """Return the encoding of the web that `label` names, or None when it names none."""
    name = (label or "").strip(" \t\n\f\r\"'")
    return None if name.lower() in _REFUSED else webencodings.lookup(name)
