"""Turn what redis-py raises into one of the project's troubles, by class and by text.

What a server answers is told by redis-py's class first, because redis-py takes the leading word (``LOADING``) off most
answers, then by text. What the operating system or TLS says is told by the error that redis-py's was raised from.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

#: redis-py's classes for what servers answer.
_CLASSES: Final = {
    "AskError": "cluster_keys",
    "AuthenticationWrongNumberOfArgsError": "wrong_password",
    "BusyLoadingError": "loading",
    "ClusterCrossSlotError": "cluster_keys",
    "ClusterDownError": "cluster_down",
    "InvalidResponse": "not_redis",
    "MasterDownError": "cluster_down",
    "MovedError": "cluster_keys",
    "NoPermissionError": "no_permission",
    "OutOfMemoryError": "out_of_memory",
    "ReadOnlyError": "read_only",
    "TryAgainError": "cluster_down",
}
#: Texts → code; the first match wins. They are those of Redis, Valkey, Upstash and, where marked, of redis-py.
_ANSWERS: Final = tuple(
    (re.compile(pattern), code)
    for pattern, code in (
        (r"without any password configured", "needless_password"),
        (r"^-?NOAUTH|Authentication required", "no_auth"),
        (r"WRONGPASS|invalid password|invalid username-password|invalid or missing auth", "wrong_password"),
        (r"^-?NOPERM|has no permissions|No permissions to access|user executing the script can't", "no_permission"),
        (r"^-?LOADING|loading the dataset", "loading"),
        (r"^-?READONLY|read only replica|^-?UNBLOCKED", "read_only"),
        (r"^-?NOREPLICAS|Not enough good replicas", "no_replicas"),
        (r"^-?(MASTERDOWN|CLUSTERDOWN|TRYAGAIN)|Link with MASTER is down", "cluster_down"),
        (r"^-?OOM|OOM command not allowed|DB capacity quota|used memory > 'maxmemory'", "out_of_memory"),
        (r"^-?MISCONF", "cannot_save"),
        (r"^-?BUSY |is busy running a script", "busy_script"),
        (r"^-?(MOVED|ASK|CROSSSLOT) |hash to the same slot|access a non local key", "cluster_keys"),
        (r"^-?WRONGTYPE|wrong kind of value", "wrong_type"),
        (r"max (request|single record|record|key) size exceeded|invalid (multi)?bulk length", "too_large"),
        (r"exceeds maximum allowed size|too big (mbulk|bulk|inline)", "too_large"),
        (r"max number of clients|max concurrent connections", "max_clients"),
        (r"^Too many connections$", "pool_exhausted"),  # redis-py
        (r"max requests limit|max daily request", "over_quota"),
        (r"DB index is out of range|invalid DB index|SELECT is not allowed|Only 0th database", "bad_database"),
        (r"^(ERR )?[Uu]nknown (command|Redis command)|command is not allowed from script", "unknown_command"),
        (r"(?i)protocol error|invalid response|HTTP/1\.", "not_redis"),  # redis-py
        (r"Connection closed|closed by server|not been fully", "reset"),  # redis-py
    )
)
#: What a server puts around the refusal that a command inside a script met: before it up to Redis 6, behind it since
#: Redis 7 and in Valkey. All that moves jobs is a script, so most refusals come like this.
_IN_SCRIPT: Final = re.compile(
    r"^(?:ERR )?Error running script .*?@user_script: ?\d+: (?=-[A-Z])"
    r"|^(?:ERR )?ACL failure in script: (?=.)"
    r"|\s*script: (?:[^\s,]*, ?)?on @user_script:\d+\.?\s*$"
)
#: What redis-py puts before it in a pipeline. It quotes the command, whose arguments must not name the trouble.
_IN_PIPELINE: Final = re.compile(r"^Command # \d+ .* of pipeline caused error: ", re.DOTALL)
#: What is left of the answer when the script itself is at fault.
_SCRIPT_FAULT: Final = re.compile(r"user_script|Error (running|compiling) script")
#: How redis-py's parsers quote the first byte of a TLS alert (RFC 8446, 5.1: type 21), which a TLS server may answer
#: to plain text.
_TLS_ALERT: Final = re.compile(r"\\x15|\x15")
#: redis-py begins with these words when the operating system or TLS gave the reason, which its cause then names. All
#: else is said by the server or by redis-py itself, and what it was raised amid, such as the error of a job that is
#: being settled, has nothing to do with it.
_BY_SYSTEM: Final = ("Error ", "Timeout ")
_ERRNOS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOENT: "refused",  # a unix socket that is not there
}
#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h).
_MISMATCHES: Final = (62, 64)


class NamedError(ConnectionError):
    """No connection for a reason that is known: the code of a trouble. RQ and jobs take it for a redis-py error."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(trouble(code).trouble.sentence)


def translate(error: BaseException) -> RedisTrouble | None:
    """Name what an error of redis-py (or of a socket under it) means; None when it is not trouble with Redis.

    An answer that no server gives by itself, such as a Lua error of a script of ours, is a bug and not an outage: None.
    """
    if isinstance(error, RedisTrouble):
        return error
    if isinstance(error, NamedError):
        return trouble(error.code)
    if isinstance(error, ResponseError):
        answer = _bare(str(error))
        return None if _SCRIPT_FAULT.search(answer) else _answered(error, answer)
    if isinstance(error, RedisError):
        return _of_redis_py(error, str(error))
    if isinstance(error, OSError):
        code = None if isinstance(error, FileNotFoundError) else _of_system(error)  # a file of a job, say
        return trouble(code) if code else None
    return None


def answer_in(error: BaseException) -> str:
    """Return what the server answered, if an error holds that; else what the trouble is called in words."""
    cause = error.__cause__ if isinstance(error, RedisTrouble) else error
    if isinstance(cause, ResponseError):
        return _bare(str(cause))
    return error.trouble.sentence if isinstance(error, RedisTrouble) else type(error).__name__


def _bare(text: str) -> str:
    """Return what a command was answered, without what servers and redis-py wrap around it."""
    return _IN_SCRIPT.sub("", _IN_PIPELINE.sub("", text))


def _of_redis_py(error: RedisError, text: str) -> RedisTrouble:
    """Name an error that redis-py makes, which always is trouble of some kind."""
    by_system = text.startswith(_BY_SYSTEM)
    if not by_system and (answered := _answered(error, text)):
        return answered
    causes = _links(error) if by_system else _causes(error)
    code = next((code for cause in causes if isinstance(cause, OSError) and (code := _of_system(cause))), None)
    if code is None and isinstance(error, RedisTimeoutError):
        code = "read_timeout"
    if code == "read_timeout" and "onnecting" in text:
        code = "connect_timeout"
    if code is not None:
        return trouble(code)
    if by_system and (answered := _answered(error, text)):
        return answered
    return (
        trouble("wrong_password")
        if isinstance(error, AuthenticationError)
        else trouble("unknown", type(error).__name__)
    )


def _answered(error: RedisError, text: str) -> RedisTrouble | None:
    """Name what a server answered, by class and by text."""
    code = next((_CLASSES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CLASSES), None)
    code = code or next((code for pattern, code in _ANSWERS if pattern.search(text)), None)
    if code == "not_redis" and _TLS_ALERT.search(text):
        code = "plain_to_tls"
    if code is None:
        return None
    return trouble(code, _said(code, text))


def _links(error: BaseException) -> Iterator[BaseException]:
    """What an error was raised from or amid, nearest first."""
    return _walk(error, lambda link: link.__cause__ or link.__context__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error says that it was raised from, nearest first."""
    return _walk(error, lambda link: link.__cause__)


def _walk(error: BaseException, step: Callable[[BaseException], BaseException | None]) -> Iterator[BaseException]:
    seen = {id(error)}
    link = step(error)
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = step(link)


def _of_system(error: OSError) -> str | None:
    """Name an error of the operating system or of TLS."""
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls_hostname" if error.verify_code in _MISMATCHES else "tls_certificate"
    if isinstance(error, ssl.SSLError):
        reason = f"{getattr(error, 'reason', '')} {error}"
        return "tls_to_plain" if "WRONG_VERSION_NUMBER" in reason or "UNKNOWN_PROTOCOL" in reason else "tls"
    if isinstance(error, TimeoutError):
        return "tls" if "handshake" in str(error) else "read_timeout"
    return _ERRNOS.get(error.errno) if error.errno is not None else None


def _said(code: str, text: str) -> str:
    """Keep the command's name out of an answer: all else may hold keys, hosts or users."""
    if code == "no_permission" and (found := re.search(r"'([a-zA-Z|]+)' command", text)):
        return f"no permission for {found[1].upper()}"
    if code == "unknown_command" and (found := re.search(r"[Uu]nknown command ['`]([a-zA-Z|]+)['`]", text)):
        return f"unknown command {found[1].upper()}"
    return ""
