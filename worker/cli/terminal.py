"""What commands print: lines and tables for people and pipes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple, Self

import click
from rich.cells import cell_len, set_cell_size

from worker.text import duration, one_line

#: The longest text in a cell. Longer ones are no ids or names that a person would copy, but a stranger's.
_CELL_CHARACTERS: Final = 200
#: Characters of a job's id on a terminal: enough to tell the ids of a page apart, and commands take them.
SHORT_ID: Final = 8
#: A terminal that does not say how wide it is.
_WIDTH: Final = 80
#: From so many columns on nothing is left out.
ROOMY: Final = 100
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Where a terminal is too narrow, columns with `least` (> 0) give way down to it, the widest first.

    `tail` keeps the end of what is cut, which tells more of a dotted name. One that is `extra` is left out where there
    are less than `ROOMY` columns. `colour` returns a colour's name for a text, "" for none.
    """

    name: str
    least: int = 0
    tail: bool = False
    right: bool = False
    extra: bool = False
    colour: Callable[[str], str] | None = None


class Both(NamedTuple):
    """A cell that is short on a terminal, and whole in a pipe, where programs and other commands read it."""

    whole: str
    short: str


def short_id(job_id: str) -> Both:
    """Return a job's id for a table: the beginning of one that RQ or a producer made up, others as they are."""
    made_up = len(job_id) >= 32 and set(job_id) <= set("0123456789abcdef-")
    return Both(job_id, job_id[:SHORT_ID] if made_up else job_id)


def moment(at: float, now: float) -> Both:
    """Return when something was (Unix seconds, 0 = unknown): its age on a terminal, date and time (UTC) in a pipe."""
    return Both(date(at), duration(max(0.0, now - at)) if at else "")


def date(at: float) -> str:
    """Return a moment as people read it, in UTC; "" if it is unknown."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output; None where that is a pipe or a file."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else None


def coloured(text: str, colour: str, *, bold: bool = False) -> str:
    """Return `text` with a colour, where standard output is a terminal that wants any (https://no-color.org)."""
    if not (colour or bold) or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour or None, bold=bold or None)


class Screen:
    """The terminal's second screen, which leaves what stood there before as it was. Use it as a context manager."""

    def __enter__(self) -> Self:
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[?7l")  # second screen, no cursor, long lines are cut at the edge
        return self

    def __exit__(self, *failure: object) -> None:
        sys.stdout.write("\x1b[?7h\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()

    def draw(self, lines: Sequence[str]) -> None:
        """Show as many lines as fit, in the place of those before; the last line says how many more there are."""
        height = shutil.get_terminal_size((_WIDTH, 24)).lines
        if len(lines) > height:
            left = len(lines) - height + 1
            lines = [*lines[: height - 1], f"… {left} more lines: make the window higher, or leave out --watch"]
        sys.stdout.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print many lines, some hundred at a time: a write for each would take longer than making them."""
    rest = iter(lines)
    while chunk := list(islice(rest, 500)):
        click.echo("\n".join(chunk))


def print_table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header, one line a row: fitted to a terminal, whole when piped."""
    print_lines(table(columns, rows))


def table(columns: Sequence[str | Column], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table, one for the header and one for each row."""
    wide = terminal_width()
    plan = [column if isinstance(column, Column) else Column(column) for column in columns]
    kept = [at for at, column in enumerate(plan) if not (column.extra and wide is not None and wide < ROOMY)]
    cells = [[_text(row[at], short=wide is not None) for at in kept] for row in rows]
    plan = [plan[at] for at in kept]
    widths = [max(map(cell_len, (column.name, *(row[at] for row in cells)))) for at, column in enumerate(plan)]
    if wide is not None:
        _narrow(plan, widths, wide)
    lines = [_line(plan, widths, [column.name for column in plan], header=True)]
    lines += [_line(plan, widths, row) for row in cells]
    return lines


def _narrow(plan: Sequence[Column], widths: list[int], wide: int) -> None:
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - wide
    while over > 0:
        may = [at for at, column in enumerate(plan) if column.least and widths[at] > column.least]
        if not may:
            return  # the terminal is narrower than what must be told: it wraps
        widths[max(may, key=widths.__getitem__)] -= 1
        over -= 1


def _line(plan: Sequence[Column], widths: Sequence[int], texts: Sequence[str], *, header: bool = False) -> str:
    parts = []
    for column, width, text in zip(plan, widths, texts, strict=True):
        shown = _cut(text, width, tail=column.tail)
        blank = " " * (width - cell_len(shown))
        colour = "" if header or column.colour is None else column.colour(text)
        styled = coloured(shown, colour, bold=header)
        parts.append(blank + styled if column.right else styled + blank)
    return _GAP.join(parts).rstrip()


def _cut(text: str, width: int, *, tail: bool) -> str:
    if cell_len(text) <= width:
        return text
    if tail:
        return f"…{set_cell_size(text[::-1], width - 1)[::-1].strip()}"
    return f"{set_cell_size(text, width - 1).rstrip()}…"


def _text(value: object, *, short: bool) -> str:
    if isinstance(value, Both):
        value = value.short if short else value.whole
    text = one_line("" if value is None else value)
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}…"
