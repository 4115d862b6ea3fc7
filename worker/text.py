"""Texts of strangers, durations and sizes as people read them."""

from __future__ import annotations

import unicodedata


def printable(text: object) -> str:
    """Return a text in which control characters are spelled out.

    Error messages, product pages and job ids come from strangers; an escape sequence in one could rewrite the screen.
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in str(text)
    )


def one_line(text: object) -> str:
    """Return `printable(text)` on one line."""
    return " ".join(printable(text).split())
