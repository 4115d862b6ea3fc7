"""Part of a step: send PING without redis-py, and recognise the kind of server by the first bytes of its answer."""

from __future__ import annotations

import enum
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from worker.diagnosis.case import Case
from worker.diagnosis.steps import sockets
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble

_PING: Final = b"*1\r\n$4\r\nPING\r\n"
_ENOUGH_BYTES: Final = 512
#: How the answers of other servers begin, and their names for people. (TLS: RFC 8446, 5.1: alert 21, handshake 22,
#: version 3.)
_OTHERS: Final = (
    (re.compile(rb"HTTP/|\s*<(!DOCTYPE|html)", re.IGNORECASE), "an HTTP server"),
    (re.compile(rb"[\x15\x16]\x03"), "a TLS server"),
    (re.compile(rb"SSH-"), "an SSH server"),
    (re.compile(rb"220[ -]"), "a mail or FTP server"),
    (re.compile(rb".\x00\x00[\x00\x01]", re.DOTALL), "MySQL, by the look of it"),
    (re.compile(rb"ERROR\r\n"), "memcached, by the look of it"),
)


class Kind(enum.Enum):
    """What answered."""

    REDIS = "redis"
    OTHER = "other"
    SILENT = "silent"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The answer. `trouble` is what Redis complained about, None after a PONG; `words` name any other server."""

    kind: Kind
    words: str = ""
    trouble: RedisTrouble | None = None


def greet(case: Case, *, tls: bool) -> Greeting:
    """Connect (with `tls` over TLS, accepting any certificate) and send PING. Never raises."""
    try:
        with sockets.wrap(case, sockets.unchecked()) if tls else sockets.plain(case) as end:
            end.settimeout(case.left * sockets.FIRST_SHARE)
            with suppress(ConnectionError):  # a server that hangs up at once may have sent its reason
                end.sendall(_PING)
            return _read(end.recv(_ENOUGH_BYTES))
    except TimeoutError:
        return Greeting(Kind.SILENT)
    except OSError as error:
        return Greeting(Kind.CLOSED, trouble=translate(error))


def _read(data: bytes) -> Greeting:
    if not data:
        return Greeting(Kind.CLOSED)
    for pattern, words in _OTHERS:
        if pattern.match(data):
            return Greeting(Kind.OTHER, words)
    line = data.partition(b"\r\n")[0].decode(errors="replace")
    if line == "+PONG":
        return Greeting(Kind.REDIS)
    if line.startswith("-"):
        return Greeting(Kind.REDIS, trouble=translate(ResponseError(line[1:])))
    return Greeting(Kind.OTHER, "something that speaks another protocol")
