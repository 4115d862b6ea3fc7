"""Logging: one event, one line, on standard output.

JSON with a top-level string `level` on Render (its log streams map that field to a priority), short lines on a
terminal (``terse.py``). Events are dotted and stable (``job.finished``), fields follow. Every line is JSON that any
reader takes: NaN and infinity are null. The standard library's loggers, RQ's among them, flow through the same
renderer. Whatever a job logs, raises or is called, a line is some KB at most. A line that cannot be written (full disk,
closed pipe) is dropped and counted: a log must never end a worker.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TextIO

# structlog imports rich when it finds it, for tracebacks that we do not use: 4 MB in the memory of every service.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None: an import finds nothing
import structlog  # noqa: E402
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger  # noqa: E402

from worker import terse  # noqa: E402
from worker.text import left_out, printable  # noqa: E402

if sys.modules.get("rich") is None:
    del sys.modules["rich"]

FORMATS: Final = ("json", "console")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: RQ logs every job at INFO; our own events report the same.
_QUIETED: Final = {"rq": logging.WARNING, "httpx": logging.WARNING, "httpcore": logging.WARNING}
#: The secret part of a URL: what stands between the scheme and the last @ of the authority. A password of Redis is
#: often pasted in unescaped, so there it may hold a slash.
_URL_SECRET: Final = re.compile(r"(?:(?<=redis://)|(?<=rediss://)|(?<=unix://))\S*@|(?<=://)[^/\s]*@")
#: What JSON and the console show as it is; numbers are looked at.
_PLAIN: Final = frozenset({bool, type(None)})
#: What is short by itself, once it has been looked at.
_SHORT: Final = frozenset({bool, type(None), int, float})
#: Longer whole numbers are described: Python refuses to write very long ones, and few readers take them.
_MOST_BITS: Final = 64
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
#: What a terminal obeys or hides, and JSON's writer leaves as it is: DEL and C1 controls, soft hyphens, marks that turn
#: text round, blanks without width, line and paragraph separators, tags. JSON may spell any character.
_OBEYED: Final = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
#: Values that are nested deeper are shown by their `repr`.
_MAX_DEPTH: Final = 6
#: Characters of one text in a line (of the traceback: more), and entries of one list or dict.
_TEXT_CHARACTERS: Final = 4_000
_TRACEBACK_CHARACTERS: Final = 10_000
_MOST_ENTRIES: Final = 100
#: Characters of a line. One that is longer is written again with at most so many fields, each with an equal share; JSON
#: spells a control character with six.
_LINE_CHARACTERS: Final = 16_000
_MOST_FIELDS: Final = 40
_NAME_CHARACTERS: Final = 60
_SPELT_CHARACTERS: Final = 6
#: What may be half of a URL's secret where a text was cut.
_SECRET_CUT_OFF: Final = re.compile(r"://\S*\Z")
_SECRET_CUT_INTO: Final = re.compile(r"\A\S*@")

#: One encoder for all lines: json.dumps would make a new one each time for anything but its defaults.
_encode: Final = json.JSONEncoder(default=repr, ensure_ascii=False).encode

#: Lines that could not be written in this process.
dropped = 0
#: Held while a line is written, and by whoever forks: a fork must find neither half a line nor a stream that is locked.
_writing: Final = threading.RLock()
os.register_at_fork(before=_writing.acquire, after_in_parent=_writing.release, after_in_child=_writing.release)


def configure(level: str, format: str, *, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every event of at least `level` to `stream` (standard output) as `format`, "json" or "console"."""
    out = stream or sys.stdout
    number = logging.getLevelNamesMapping()[level]
    plain = structlog.dev.plain_traceback  # rich ones show local variables: the arguments of jobs
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
    renderer = _short_line(
        _render_json
        if format == "json"
        else (lambda _log, _how, event: terse.render(_printable(event), colours=not os.environ.get("NO_COLOR")))
        if out.isatty()
        else lambda log, how, event: console(log, how, _printable(event))
    )
    exceptions = structlog.processors.format_exc_info  # before the scrubbing: messages of exceptions hold URLs
    shared: list[Any] = [structlog.contextvars.merge_contextvars, _stamp, exceptions, _scrub]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_args: _Writer(out),
        cache_logger_on_first_use=True,
    )
    handler = _StandardHandler(structlog.wrap_logger(_Writer(out), processors=[*shared, renderer]))
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name, least in _QUIETED.items():
        logging.getLogger(name).setLevel(max(number, least))
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry", "rq.scheduler"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(max(number, logging.WARNING))


def get_logger() -> FilteringBoundLogger:
    """Return a logger; it may be made before `configure` and follows it."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def _stamp(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["level"] = "error" if method == "exception" else method
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    return event


def _scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove the password from any URL in any field, and make of each value what can be written."""
    for name, value in event.items():
        kind = type(value)
        if kind is str:
            if len(value) > _TEXT_CHARACTERS:
                event[name] = scrub(_cut(value, _TRACEBACK_CHARACTERS if name == "exception" else _TEXT_CHARACTERS))
            elif "://" in value:
                event[name] = scrub(value)
        elif kind not in _PLAIN:
            event[name] = _clean(value)
    return event


def _clean(value: Any, depth: int = 0) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        bits = value.bit_length()
        return value if bits <= _MOST_BITS else f"<a whole number of {bits} bits>"
    try:
        if depth < _MAX_DEPTH:
            if isinstance(value, dict):
                return _clean_dict(value, depth + 1)
            if isinstance(value, list | tuple):
                shown = [_clean(held, depth + 1) for held in value[:_MOST_ENTRIES]]
                return shown if len(value) <= _MOST_ENTRIES else [*shown, f"… {len(value) - _MOST_ENTRIES:,} more …"]
        if isinstance(value, bytes | bytearray):
            value = value[:_TEXT_CHARACTERS]
        return scrub(_cut(str(value) if isinstance(value, str) else repr(value), _TEXT_CHARACTERS))
    except Exception as error:  # noqa: BLE001 — the repr of anybody's object may raise anything; a log must not
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _clean_dict(held: dict[Any, Any], depth: int) -> dict[str, Any]:
    shown = {
        scrub(_cut(str(name), _TEXT_CHARACTERS)): _clean(value, depth)
        for name, value in islice(held.items(), _MOST_ENTRIES)
    }
    if len(held) > _MOST_ENTRIES:
        shown["…"] = f"… {len(held) - _MOST_ENTRIES:,} more …"
    return shown


def _cut(text: str, most: int) -> str:
    """Return `text` without its middle where it is too long, and without what may be half of a secret there."""
    if len(text) <= most:
        return text
    half = most // 2
    begin, end = _SECRET_CUT_OFF.sub("://…", text[:half]), _SECRET_CUT_INTO.sub("…@", text[-half:])
    return f"{begin}\n{left_out(len(text) - 2 * half)}\n{end}"


def scrub(text: str) -> str:
    """Return `text` with user and password cut out of every URL in it."""
    return _URL_SECRET.sub("…@", text)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {"timestamp": event["timestamp"], "level": event["level"], "event": event["event"]}
    return _encode({**ordered, **event})


def _spelt(found: re.Match[str]) -> str:
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


def _short_line(render: Callable[[WrappedLogger, str, EventDict], str]) -> Callable[..., str]:
    """Return `render` with a bound on its lines; it must leave the event as it is."""

    def rendered(logger: WrappedLogger, method: str, event: EventDict) -> str:
        line = render(logger, method, event)
        return line if len(line) <= _LINE_CHARACTERS else render(logger, method, _shortened(event, len(line)))

    return rendered


def _shortened(event: EventDict, length: int) -> EventDict:
    """Return the event with its first fields, each short enough for all of them to be one line together."""
    most = _LINE_CHARACTERS // (_SPELT_CHARACTERS * min(_MOST_FIELDS, len(event)))
    short: EventDict = {
        _cut(name, _NAME_CHARACTERS): value if type(value) in _SHORT else _cut(_text(value), most)
        for name, value in islice(event.items(), _MOST_FIELDS)
    }
    for name in ("event", "level", "timestamp"):  # they may come late, and all readers want them
        short.setdefault(name, _cut(_text(event[name]), most))
    short["line_characters"] = length
    return short


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value)


def _printable(event: EventDict) -> EventDict:
    """Return a copy of the event for a terminal, which obeys control characters: they come from strangers."""
    return {printable(name): printable(value) if isinstance(value, str) else value for name, value in event.items()}


class _Writer:
    """Writes lines to a stream, whatever happens to it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        global dropped  # noqa: PLW0603 — one counter a process
        try:
            if not line.isascii() or "\x7f" in line:
                line = _OBEYED.sub(_spelt, line)
            with _writing:
                self._out.write(line + "\n")
                self._out.flush()
        except UnicodeEncodeError:  # half characters, as in a file's odd name
            self.msg(_NOT_ASCII.sub(_spelt, line))
        except (OSError, ValueError):
            dropped += 1

    debug = info = warning = error = critical = exception = fatal = log = msg


class _StandardHandler(logging.Handler):
    """Turns a standard library record into an event."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record under its logger's name."""
        write: Callable[..., None] = getattr(self._logger, record.levelname.lower(), self._logger.info)
        about: dict[str, Any] = {"logger": record.name, "exc_info": record.exc_info}
        try:
            event = record.getMessage()
        except Exception as error:  # noqa: BLE001 — the code that logs must not fail because its line cannot be put together
            event, about["unreadable"] = f"{record.pathname}:{record.lineno}", type(error).__name__
        try:
            write(event, **about)
        except Exception:  # noqa: BLE001 — nor because it cannot be written
            global dropped  # noqa: PLW0603 — one counter a process
            dropped += 1
