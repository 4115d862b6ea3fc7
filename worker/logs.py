"""Logging: one event, one line, on standard output.

JSON with a top-level string `level` on Render (its log streams map that field to a priority), readable colours on a
terminal. Events are dotted and stable (``job.finished``), fields follow. Every line is JSON that any reader takes: NaN
and infinity are null. The standard library's loggers, RQ's among them, flow through the same renderer. A line that
cannot be written (full disk, closed pipe) is dropped and counted: a log must never end a worker.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

# structlog imports rich when it finds it, for tracebacks that we do not use: 4 MB in the memory of every service.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None: an import finds nothing
import structlog  # noqa: E402
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger  # noqa: E402

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

#: One encoder for all lines: json.dumps would make a new one each time for anything but its defaults.
_encode: Final = json.JSONEncoder(default=repr, ensure_ascii=False).encode

#: Lines that could not be written in this process.
dropped = 0


def configure(level: str, format: str, *, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every event of at least `level` to `stream` (standard output) as `format`, "json" or "console"."""
    out = stream or sys.stdout
    number = logging.getLevelNamesMapping()[level]
    plain = structlog.dev.plain_traceback  # rich ones show local variables: the arguments of jobs
    console = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
    renderer = _render_json if format == "json" else console
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
            if "://" in value:
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
    if kind is str:
        return scrub(value)
    try:
        if depth < _MAX_DEPTH:
            if isinstance(value, dict):
                return {scrub(str(name)): _clean(held, depth + 1) for name, held in value.items()}
            if isinstance(value, list | tuple):
                return [_clean(held, depth + 1) for held in value]
        return scrub(str(value) if isinstance(value, str) else repr(value))
    except Exception as error:  # noqa: BLE001 — the repr of anybody's object may raise anything; a log must not
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def scrub(text: str) -> str:
    """Return `text` with user and password cut out of every URL in it."""
    return _URL_SECRET.sub("…@", text)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event")}
    return _encode({**ordered, **event})


def _spelt(found: re.Match[str]) -> str:
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


class _Writer:
    """Writes lines to a stream, whatever happens to it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        global dropped  # noqa: PLW0603 — one counter a process
        try:
            if not line.isascii() or "\x7f" in line:
                line = _OBEYED.sub(_spelt, line)
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
        try:
            write(record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 — a record that cannot be formatted must not fail the code that logs it
            self.handleError(record)
