"""Log lines for a person at a terminal: the time of day, the level, the event, and the few fields that tell most.

``09:41:07  info     job.finished  shop.invoices.send  0.12 s  d8fe12e2``. A warning or worse keeps all of its fields,
and its sentences (what it means, what to do) stand below it. Everything else stands in the JSON lines, which is what a
pipe, a file and Render's log get.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

_LEVELS: Final = {"debug": "2", "info": "32", "warning": "33;1", "error": "31;1", "critical": "31;1"}
#: The fields of an ordinary line, as far as it has them and there is room, in this order.
_TELLING: Final = (
    *("function", "seconds", "retry_in", "attempt", "job_id", "queue", "reason", "error", "code", "how"),
    *("role", "consumers", "leader", "jobs", "port"),
)
#: Their values say by themselves what they are.
_NAMELESS: Final = frozenset({"function", "job_id", "role", "reason", "code", "how"})
_SENTENCES: Final = ("sentence", "why", "effect", "fix")
_LEFT_OUT: Final = frozenset({"timestamp", "level", "event", "exception", *_SENTENCES})
_MOST: Final = 3
_LEVEL_WIDTH: Final = 8
_INDENT: Final = " " * 10
_FEWEST_COLUMNS: Final = 40
_UUID_CHARACTERS: Final = 36


def render(event: Mapping[str, Any], *, colours: bool) -> str:
    """Return the lines of an event whose texts are safe to print; as wide as the terminal."""
    columns = max(_FEWEST_COLUMNS, shutil.get_terminal_size().columns)
    level, name = str(event["level"]), str(event["event"])
    ordinary = level in ("debug", "info")
    fields = "  ".join(_shown(event, ordinary=ordinary))
    head = f"{str(event['timestamp'])[11:19]}  {level:{_LEVEL_WIDTH}} {name}"
    room = columns - len(head) - 2
    if len(fields) > room and (ordinary or room < len(fields) // 2):
        fields = f"{fields[: max(0, room - 1)]}…"
    if colours:
        head = f"{head[:10]}\x1b[{_LEVELS.get(level, '0')}m{level:{_LEVEL_WIDTH}}\x1b[0m \x1b[1m{name}\x1b[0m"
    lines = [f"{head}  {fields}".rstrip()]
    for sentence in (str(event[one]) for one in _SENTENCES if event.get(one)):
        lines += textwrap.wrap(sentence, columns, initial_indent=_INDENT, subsequent_indent=_INDENT)
    if event.get("exception"):
        lines.append(str(event["exception"]))
    return "\n".join(lines)


def _shown(event: Mapping[str, Any], *, ordinary: bool) -> Iterator[str]:
    told = 0
    for name in (*(one for one in _TELLING if one in event), *(one for one in event if one not in _TELLING)):
        value = event[name]
        if name in _LEFT_OUT or value is None or value == "" or (name == "attempt" and value == 1):
            continue
        if ordinary and told == _MOST:
            return
        told += 1
        yield _text(value) if name in _NAMELESS else _named(name, value)


def _named(name: str, value: Any) -> str:
    if name in ("seconds", "retry_in") and isinstance(value, int | float):
        amount = f"{value:.3g} s"
        return amount if name == "seconds" else f"again in {amount}"
    return f"{name}={_text(value)}"


def _text(value: Any) -> str:
    text = " ".join(str(value).split())
    return text[:8] if len(text) == _UUID_CHARACTERS and text.count("-") == 4 else text
