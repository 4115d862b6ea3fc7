"""Read JSON as shops' templates write it: strictly where that works, else as an indulgent reader would.

Strictly is by `json`. Where that fails, the text is split into tokens, and what the tokens leave no doubt of is written
down anew for `json`: comments, CDATA marks and the JavaScript around it go, missing and surplus commas, quotes and
escapes are mended. Nothing is made up: a text that ends inside a value is not read. Both take linear time.

No library does this: see docs/products.md.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import unquote

from jobs.products.reading.budget import MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_LOOSE_JSON

#: Characters that nobody sees and templates leave between tokens: zero-width ones, marks of direction and order.
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\x00]")
#: What follows the quote that ends a text: else it is a quote inside it, as in ``"name": "27" monitor"``.
_AFTER_TEXT = r"""\s*+(?:[,:}\]);]|\Z|//|/\*|<!--|-->|\]\]>|"[^"\n]{1,60}+"\s*+:)"""
_TOKEN = re.compile(
    rf"""\s*+(?:
      (?P<text>"(?P<double>(?:[^"\\]++|\\.|"(?!{_AFTER_TEXT}))*+)(?:"|\Z|\\\Z)
              |'(?P<single>(?:[^'\\]++|\\.)*+)(?:'|\Z|\\\Z)|`(?P<back>(?:[^`\\]++|\\.)*+)(?:`|\Z|\\\Z))
     |(?P<skip>/\*.*?(?:\*/|\Z)|<!--[^{{}}\[\]]{{0,120}}?-->|<!--|-->|<!\[CDATA\[|<!\]\]>|\]\]>)
     |(?P<line>//[^\n]*+)
     |(?P<mark>[{{}}\[\]:,;])
     |(?P<word>[^\s"'`{{}}\[\]:,;/<]++|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_DIGITS = re.compile(r"\d++(?:\.\d{1,2})?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d{1,3})?")
_BAD_ESCAPE = re.compile(
    r"""\\(?:x(?P<hex>[0-9a-fA-F]{2})|(?P<good>u[0-9a-fA-F]{4}|["\\/bfnrt])|(?P<other>.))""", re.DOTALL
)
_TYPOGRAPHIC = str.maketrans("“”„", '"""')
_LITERALS = {"true": "true", "false": "false", "null": "null", "undefined": "null", "NaN": "null", "None": "null"}
_CLOSING = {"{": "}", "[": "]"}


def parse_json(text: str) -> list[Any]:
    """Return the objects and arrays of `text`, best effort; numbers stay texts, exactly as they are written."""
    return _parse(text, 3)


def _parse(text: str, layers: int) -> list[Any]:
    """`layers` is how often the text may have been written as JSON, HTML or an address."""
    text = text.strip()
    if not text or not _affordable(text):
        return []
    try:
        value = _strictly(text)
    except (ValueError, RecursionError):
        return _indulgently(text, layers)
    if isinstance(value, str):
        return _parse(value, layers - 1) if layers else []
    return [value] if isinstance(value, dict | list) else []


def _affordable(text: str) -> bool:
    return text.count("{") + text.count("[") + text.count(",") <= MAX_JSON_VALUES


def _strictly(text: str) -> Any:
    return json.loads(text, strict=False, parse_float=str, parse_int=str)


def _indulgently(text: str, layers: int) -> list[Any]:
    if len(text) > MAX_LOOSE_JSON:
        return []
    text = _UNSEEN.sub("", text)
    if '"' not in text:  # a word processor's
        text = text.translate(_TYPOGRAPHIC)
    if found := _Mender(text, layers).values():
        return found
    if not layers:
        return []
    if (inner := text.find('{"', 1)) > 0:  # in the braces of a function or of a template
        return _parse(text[inner:], layers - 1)
    if text.startswith(('{\\"', '[{\\"')):  # the text of a text, without its quotes
        return _parse(f'"{text}"', layers - 1)
    for decoded in (html.unescape(text), unquote(text) if text.startswith(("%7B", "%5B")) else text):
        if decoded != text:
            return _parse(decoded, layers - 1)
    return []


class _Mender:
    """Writes the values of a text as strict JSON, token by token."""

    def __init__(self, text: str, layers: int) -> None:
        self._text = text
        self._layers = layers
        self._found: list[Any] = []
        self._out: list[str] = []  #: of the value that is being read
        self._open: list[str] = []  #: "{" and "["
        self._last = ""  #: the last token written: a mark, or "v" for a value, "k" for a key, "n" for a number

    def values(self) -> list[Any]:
        """Return those that could be read."""
        at = tokens = unclosed = 0
        text = self._text
        while at < len(text) and (token := _TOKEN.match(text, at)):
            at = token.end()
            tokens += 1
            if tokens > 2 * MAX_JSON_VALUES or len(self._open) > MAX_JSON_DEPTH:
                return self._found
            if token["line"] and not self._open and "{" in token["line"]:
                at = token.start("line") + token["line"].index("{")
            elif token["mark"]:
                self._mark(token["mark"])
            elif token["text"] and (len(token["text"]) == 1 or token["text"][-1] != token["text"][0]):
                if self._open or (unclosed := unclosed + 1) > 3:
                    return self._found
                at = token.start("text") + 1
            elif token["text"]:
                self._value(self._quoted(token))
            elif token["word"]:
                self._word(token["word"], text, at)
        if self._open and self._last in {"}", "]"}:  # only the last brackets are missing
            while self._open:
                self._close(_CLOSING[self._open[-1]])
        return self._found

    def _mark(self, mark: str) -> None:
        if mark in _CLOSING:
            self._separate()
            self._out.append(mark)
            self._open.append(mark)
            self._last = mark
        elif not self._open:
            return
        elif mark in "}]":
            self._close(mark)
        elif mark == ":":
            if self._last in {"v", "n"} and self._open[-1] == "{":
                self._out.append(":")
                self._last = ":"
        elif self._last in {"v", "n", "}", "]", ":"}:  # "," and ";"; a surplus one is dropped
            if self._last == ":":
                self._out.append("null")
            self._out.append(",")
            self._last = ",n" if self._last == "n" and self._open[-1] == "{" else ","

    def _close(self, mark: str) -> None:
        if _CLOSING[self._open[-1]] != mark:
            if mark not in {_CLOSING[one] for one in self._open}:
                return
            self._close(_CLOSING[self._open[-1]])
            self._close(mark)
            return
        if self._last == ":":
            self._out.append("null")
        elif self._last.startswith(","):
            self._out.pop()
        self._out.append(mark)
        self._open.pop()
        self._last = mark
        if not self._open:
            self._finish()

    def _finish(self) -> None:
        written, self._out, self._last = "".join(self._out), [], ""
        try:
            self._found.append(_strictly(written))
        except (ValueError, RecursionError):  # one unreadable value must not hide those beside it
            return

    def _separate(self) -> None:
        """Write the comma that is missing before a value."""
        if self._last in {"v", "n", "}", "]"}:
            self._out.append(",")

    def _value(self, written: str) -> None:
        if not self._open:
            if self._layers and (content := json.loads(written, strict=False).lstrip())[:1] in {"{", "["}:
                self._found += _parse(content, self._layers - 1)
            return
        self._separate()
        self._out.append(written)
        self._last = "v"

    def _word(self, word: str, text: str, at: int) -> None:
        if not self._open:
            return
        if self._last == ",n" and _DIGITS.fullmatch(word) and _next(text, at) != ":":  # "price": 12,50 or 1,299.00
            self._out.pop()
            self._out.append(json.dumps(f"{self._out.pop().strip(chr(34))},{word}"))
            self._last = "v"
            return
        is_key = self._open[-1] == "{" and _next(text, at) == ":" and self._last != ":"
        if not is_key and word in _LITERALS:
            written, kind = _LITERALS[word], "v"
        elif not is_key and _NUMBER.fullmatch(word):
            written, kind = word, "n"
        elif self._last in {"v", "n"} and not is_key:  # several bare words: the text goes on
            written, kind = json.dumps(f"{self._out.pop().strip(chr(34))} {word}"), "v"
            self._out.append(written)
            self._last = kind
            return
        else:
            written, kind = json.dumps(word), "n" if word.isdigit() else "v"
        self._separate()
        self._out.append(written)
        self._last = kind

    def _quoted(self, token: re.Match[str]) -> str:
        """Return a text as JSON writes it."""
        content = next(one for one in (token["double"], token["single"], token["back"]) if one is not None)
        if '"' in content or "\\" in content:
            content = _BAD_ESCAPE.sub(_escape, content)
            content = re.sub(r'(?<!\\)((?:\\\\)*+)"', r'\1\\"', content)
        return f'"{content}"'


def _escape(found: re.Match[str]) -> str:
    if found["good"]:
        return found[0]
    if found["hex"]:
        return f"\\u00{found['hex']}"
    return found["other"] if found["other"] != '"' else '\\"'


def _next(text: str, at: int) -> str:
    """Return the first character after `at` that is no white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return text[at : at + 1]
