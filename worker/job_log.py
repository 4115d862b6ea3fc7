"""A job's log: the last lines that it has said about itself, and its progress, kept beside it as long as it lives.

`worker.context` offers it to jobs, ``consumer/log_writer.py`` sends it, ``redis/scripts/log.lua`` keeps it. Here is
what a line is, and what readers make of a list in Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from worker.text import text_of

#: Lines of one job that are kept, the newest ones; `log.lua` says the same.
MOST_LINES: Final = 200
#: Bytes of one line, as UTF-8; with its time, attempt and percentage it takes about 30 more.
LINE_BYTES: Final = 500


class LogLine(NamedTuple):
    """One line."""

    at: float  #: when it was said (Unix seconds, the server's clock)
    attempt: int
    percent: int | None  #: of a line of progress
    text: str


class JobLog(NamedTuple):
    """What is kept of one job's log, the oldest line first."""

    lines: tuple[LogLine, ...]
    left_out: int  #: lines before these

    def as_list(self) -> list[dict[str, Any]]:
        """Return the lines as JSON has them."""
        return [line._asdict() for line in self.lines]


def cut(message: object) -> bytes:
    """Return a message as a line keeps it: UTF-8, at most `LINE_BYTES`."""
    text = message if isinstance(message, str) else str(message)
    data = text[: LINE_BYTES + 1].encode(errors="replace")
    if len(data) <= LINE_BYTES:
        return data
    return data[: LINE_BYTES - 3].decode(errors="ignore").encode() + "…".encode()


def parsed(entries: Sequence[bytes], created_at: bytes) -> JobLog:
    """Read a list from Redis; nothing of what an earlier job of the same id has left, or of what is not ours."""
    head = entries[0].rpartition(b" ") if entries else (b"", b"", b"")
    if not head[1] or head[0] != created_at or not head[2].isdigit():
        return JobLog((), 0)
    return JobLog(tuple(filter(None, map(_line, entries[1:]))), int(head[2]))


def _line(entry: bytes) -> LogLine | None:
    at, _, rest = text_of(entry).partition(" ")
    attempt, _, rest = rest.partition(" ")
    percent, _, text = rest.partition(" ")
    try:
        return LogLine(float(at), int(attempt), None if percent == "-" else int(percent), text)
    except ValueError:
        return None  # somebody else has written there
