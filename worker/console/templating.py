"""The templates, and how values look in them.

Whatever a template prints was written by strangers: it is escaped, control characters and direction marks in it are
spelt out, and it is cut. Only what a filter below has made is left as it is.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import time
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.console import charts
from worker.console.requests import exact
from worker.text import bounded, counted, one_line, printable, size
from worker.text import duration as in_words

ROOT: Final = Path(__file__).parent
#: Characters that are shown of any text: more than a traceback has.
MOST_CHARACTERS: Final = 50_000
#: Characters of what shows on hover.
_HOVER_CHARACTERS: Final = 500


@cache
def environment() -> Environment:
    """Return the templates, which are compiled when they are first used."""
    made = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        finalize=_safe,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "ago": ago,
        "since": since,
        "soon": soon,
        "dur": dur,
        "num": num,
        "size": size,
        "cut": cut,
        "said": said,
        "exact": exact,
        "raw": escape,
        "counted": counted,
    }
    made.globals |= {"charts": charts, "asset": asset}
    return made


@cache
def asset(name: str) -> str:
    """Return the path of a file of ``static/``, which changes with what the file holds."""
    return f"/static/{name}?v={hashlib.sha256((ROOT / 'static' / name).read_bytes()).hexdigest()[:12]}"


def ago(moment: float | None, *, now: float | None = None) -> Markup:
    """Show a moment (Unix seconds) as its distance, exactly on hover."""
    if not moment:
        return Markup("–")
    try:
        date = datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):
        return Markup("–")
    seconds = (time() if now is None else now) - moment
    words = f"in {_whole(-seconds)}" if seconds < -1 else "now" if seconds < 2 else f"{_whole(seconds)} ago"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        date.isoformat(timespec="milliseconds"), date.strftime("%a %Y-%m-%d %H:%M:%S"), words
    )


def since(seconds: float | None) -> Markup:
    """Show a moment so many seconds ago."""
    return Markup("–") if seconds is None else ago(time() - seconds)


def soon(seconds: float | None) -> Markup:
    """Show a moment in so many seconds; what is past is late."""
    if seconds is None:
        return Markup("–")
    moment = ago(time() + seconds)
    return Markup('<span class="late">{} late</span>').format(dur(-seconds)) if seconds < -1 else moment


def dur(seconds: float | None) -> Markup:
    """Show a length of time in words, exactly on hover."""
    if seconds is None:
        return Markup("–")
    words = f"{seconds * 1000:.0f} ms" if 0 < seconds < 1 else in_words(seconds)
    return Markup('<time datetime="PT{}S" title="{} s">{}</time>').format(
        f"{max(seconds, 0):.3f}", f"{seconds:,.3f}", words
    )


def num(number: float | None) -> Markup:
    """Show a number as people read it, exactly on hover."""
    if number is None:
        return Markup("–")
    exactly = f"{number:,.2f}".removesuffix(".00")
    if abs(number) < 10_000:
        short = f"{number:,.0f}" if number == int(number) or abs(number) >= 100 else f"{number:.1f}"
    else:
        short = next(
            f"{number / unit:.3g} {name}" for unit, name in ((1e9, "bn"), (1e6, "m"), (1e3, "k")) if abs(number) >= unit
        )
    return Markup('<data value="{}" title="{}">{}</data>').format(number, exactly, short)


def cut(text: object, most: int = 80) -> Markup:
    """Show a text on one line, cut; more of it on hover."""
    line = one_line(str(text)[: 4 * MOST_CHARACTERS])
    if len(line) <= most:
        return escape(line)
    return Markup('<span title="{}">{}…</span>').format(bounded(line, _HOVER_CHARACTERS), line[: most - 1])


def said(sentence: object) -> Markup:
    """Show a sentence of ours, in which commands stand between backticks."""
    parts = printable(bounded(str(sentence), MOST_CHARACTERS)).split("`")
    if len(parts) % 2 == 0:  # one of them is part of a name
        return escape("`".join(parts))
    return Markup().join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def _whole(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 10 else in_words(seconds)


def _safe(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(bounded(value, MOST_CHARACTERS))
