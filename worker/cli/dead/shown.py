"""How the commands show a dead letter's parts."""

from __future__ import annotations

from typing import Final

from worker.cli.terminal import Both
from worker.dead_letters.letter import DeadLetter
from worker.text import one_line

#: Characters of an error's message in a table.
_ERROR_CHARACTERS: Final = 80


def error_of(letter: DeadLetter) -> str:
    """Return a letter's exception and message on one line, cut to fit."""
    return _cut(f"{letter.record.get('exception', '')} {letter.record.get('message', '')}")


def error_cell(letter: DeadLetter) -> Both:
    """Return the same for a table; on a terminal without the modules of the exception's name."""
    exception = str(letter.record.get("exception", "")).rpartition(".")[2]
    return Both(error_of(letter), _cut(f"{exception} {letter.record.get('message', '')}"))


def _cut(text: str) -> str:
    text = one_line(text.strip())
    return text if len(text) <= _ERROR_CHARACTERS else f"{text[: _ERROR_CHARACTERS - 1]}…"
