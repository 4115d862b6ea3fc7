"""What commands print: lines and tables for people and pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from worker.text import one_line

#: The longest text in a cell. Longer ones are no ids or names that a person would copy, but a stranger's.
_CELL_CHARACTERS: Final = 200
#: Wide enough that nothing wraps when a program reads the output.
_PIPE_WIDTH: Final = 10_000


def print_lines(lines: Iterable[str]) -> None:
    """Print many lines, some hundred at a time: a write for each would take longer than making them."""
    rest = iter(lines)
    while chunk := list(islice(rest, 500)):
        click.echo("\n".join(chunk))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header: fitted to a terminal, one line a row when piped."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True  # the name or id, which is copied into the next command
    for row in rows:
        table.add_row(*map(_cell, row))
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def _cell(value: object) -> str:
    text = one_line(value)
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}…"
