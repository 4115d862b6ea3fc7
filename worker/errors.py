"""The project's own errors, and the one table of what can be wrong with Redis.

::

    WorkerError
    ├── SettingsError      the environment is wrong: every problem at once
    └── RedisTrouble       Redis does not do what it should: a cause, a likely fix, a policy

redis-py's errors become `RedisTrouble` in one place, `translate`, by class and by text; loops, logs, the health
endpoint and the tools speak only of these. Sentences hold no host, URL or secret.
"""

from __future__ import annotations

import enum
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


class WorkerError(Exception):
    """The root of the project's errors."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the environment. `got` is what was found, masked when it is secret."""

    variable: str
    got: str
    wants: str
    example: str = ""

    def __str__(self) -> str:
        example = f" Example: {self.variable}={self.example}" if self.example else ""
        return f"{self.variable}: got {self.got}; it wants {self.wants}.{example}"


class SettingsError(WorkerError):
    """The environment is wrong; `problems` lists everything that is."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        super().__init__("\n".join([f"The environment has {count}:", *(f"  - {problem}" for problem in problems)]))


class Policy(enum.Enum):
    """What the loops do about trouble."""

    RETRY = "retry"  #: for ever, with full-jitter backoff; a new connection resolves the name anew
    RETRY_SLOWLY = "retry slowly"  #: the same, at the cap from the start: only a person or a new secret helps
    WAIT = "wait"  #: the connection is good, the server refuses for now: keep claims and outcomes, try again


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble, in words."""

    code: str
    sentence: str
    fix: str
    policy: Policy = Policy.RETRY


class RedisTrouble(WorkerError):
    """Redis does not do what it should. `detail` adds what the server said, without secrets."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        self.trouble = trouble
        self.detail = detail
        super().__init__(f"{trouble.sentence} {trouble.fix}" + (f" (The server said: {detail})" if detail else ""))

    @property
    def code(self) -> str:
        """The trouble's stable name."""
        return self.trouble.code


def _table(*troubles: Trouble) -> dict[str, Trouble]:
    return {trouble.code: trouble for trouble in troubles}


#: Every kind of trouble, by code.
TROUBLES: Final = _table(
    Trouble(
        "bad_url",
        "REDIS_URL is not a Redis URL.",
        "It must look like redis://user:password@host:6379/0 or rediss://… for TLS; special characters in the password "
        "must be percent-encoded.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "dns",
        "The Redis host name does not resolve.",
        "Check the host in REDIS_URL: the database may have been deleted or renamed, or name resolution may be down.",
    ),
    Trouble(
        "refused",
        "The Redis host refuses the connection.",
        "Nothing listens on that port: check host and port in REDIS_URL and whether the server runs.",
    ),
    Trouble(
        "unreachable",
        "The Redis host cannot be reached over the network.",
        "Check the network between here and there: region, private network, firewall or IP allow-list.",
    ),
    Trouble(
        "connect_timeout",
        "Redis did not accept the connection in time.",
        "A firewall or an IP allow-list that drops packets looks like this; so does a wrong host that exists.",
    ),
    Trouble(
        "read_timeout",
        "Redis did not answer in time.",
        "The server may be frozen, overloaded by a slow command, or cut off without a word.",
    ),
    Trouble(
        "reset",
        "The connection to Redis was cut.",
        "A restart or failover does this once. When it happens at once every time, a TLS server is being spoken to in "
        "plain text: use rediss:// instead of redis://.",
    ),
    Trouble(
        "tls_to_plain",
        "TLS was spoken to a port that answers in plain text.",
        "Use redis:// instead of rediss://, or the server's TLS port.",
    ),
    Trouble(
        "tls_certificate",
        "The TLS certificate of Redis is not trusted.",
        "It is expired, self-signed or from an unknown authority: name the provider's CA file with "
        "?ssl_ca_certs=/path/ca.pem in REDIS_URL.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "tls_hostname",
        "The TLS certificate of Redis is for another host name.",
        "Use the host name that the certificate names, not an address or an alias.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "tls",
        "The TLS handshake with Redis failed.",
        "A server that speaks plain text never answers it: use redis:// there. Else check which TLS versions it takes.",
    ),
    Trouble(
        "no_auth",
        "Redis wants a password and REDIS_URL has none.",
        "Put it into the URL: rediss://default:PASSWORD@host:port.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "wrong_password",
        "Redis rejects the user name or the password.",
        "Copy the connection string from the provider again; if the secret was rotated, this worker goes on as soon as "
        "the server takes it, but a changed environment needs a restart.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "no_permission",
        "The Redis user may not run a command that the worker needs.",
        "Give the user the command and the keys in its ACL, or use the default user.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "needless_password",
        "REDIS_URL has a password and this Redis has none set.",
        "Take the password out of the URL, or set one on the server.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "busy_script",
        "Redis is busy running somebody's script.",
        "Nothing else is answered until that script ends: see who sends long scripts to this server.",
        Policy.WAIT,
    ),
    Trouble(
        "loading", "Redis is still loading its data.", "It has just restarted; this passes by itself.", Policy.WAIT
    ),
    Trouble(
        "read_only",
        "This Redis accepts no writes: it is a replica.",
        "During a failover this passes by itself; otherwise REDIS_URL must name the primary.",
    ),
    Trouble(
        "cluster_down",
        "The Redis cluster or its primary is down.",
        "A failover is under way or has failed: see the provider's status page.",
    ),
    Trouble(
        "out_of_memory",
        "Redis is out of memory and refuses writes.",
        "Use a larger plan, shorten result_ttl, or purge dead letters. Keep the eviction policy noeviction: any other "
        "deletes jobs.",
        Policy.WAIT,
    ),
    Trouble(
        "cannot_save",
        "Redis refuses writes because it cannot save to disk.",
        "The server's disk is full or broken; its log says which.",
        Policy.WAIT,
    ),
    Trouble(
        "max_clients",
        "Redis accepts no more connections.",
        "Use fewer processes or a larger plan; a deploy doubles the connections for a minute.",
    ),
    Trouble(
        "over_quota",
        "The plan's quota of Redis is used up.",
        "Raise the budget or change to a fixed plan; WORKER_SCHEDULER_INTERVAL lowers what idling costs.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "bad_database",
        "The database number in REDIS_URL does not exist.",
        "Use /0, the only one on Upstash and in clusters.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "not_redis",
        "What answers there is not Redis.",
        "Check host and port: it may be an HTTP service or another database.",
        Policy.RETRY_SLOWLY,
    ),
    Trouble(
        "no_descriptors",
        "This process has no file descriptors left.",
        "Raise the limit (ulimit -n), or look for job code that leaves files or sockets open.",
    ),
    Trouble("unknown", "Talking to Redis failed.", "See the detail."),
)

#: redis-py's classes for what servers answer; it takes the leading word off the text, so the class is the better sign.
_CLASSES: Final = {
    "AuthenticationWrongNumberOfArgsError": "wrong_password",
    "BusyLoadingError": "loading",
    "ClusterDownError": "cluster_down",
    "InvalidResponse": "not_redis",
    "MasterDownError": "cluster_down",
    "NoPermissionError": "no_permission",
    "OutOfMemoryError": "out_of_memory",
    "ReadOnlyError": "read_only",
    "TryAgainError": "cluster_down",
}
#: Texts of what servers answer → code. The first match wins; they are those of Redis, Valkey and Upstash.
_ANSWERS: Final = (
    (r"without any password configured", "needless_password"),
    (r"^NOAUTH|Authentication required", "no_auth"),
    (r"WRONGPASS|invalid password|invalid username-password|invalid or missing auth", "wrong_password"),
    (r"^NOPERM|has no permissions|No permissions to access", "no_permission"),
    (r"^LOADING|loading the dataset", "loading"),
    (r"^READONLY|read only replica|^UNBLOCKED", "read_only"),
    (r"^MASTERDOWN|^CLUSTERDOWN|^TRYAGAIN|^NOREPLICAS|Link with MASTER is down", "cluster_down"),
    (r"^OOM|OOM command not allowed|DB capacity quota|used memory > 'maxmemory'", "out_of_memory"),
    (r"^MISCONF", "cannot_save"),
    (r"^BUSY |is busy running a script", "busy_script"),
    (r"max number of clients|max concurrent connections", "max_clients"),
    (r"max requests limit|max daily request", "over_quota"),
    (r"DB index is out of range|invalid DB index|SELECT is not allowed|Only 0th database", "bad_database"),
    (r"(?i)protocol error|invalid response|HTTP/1\.", "not_redis"),
)
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
    errno.ETIMEDOUT: "connect_timeout",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOENT: "refused",  # a unix socket that is not there
}


def trouble(code: str, detail: str = "") -> RedisTrouble:
    """Make the trouble `code`."""
    return RedisTrouble(TROUBLES[code], detail)


def translate(error: BaseException) -> RedisTrouble | None:
    """Name what an error of redis-py (or of a socket under it) means; None when it is not trouble with Redis.

    An answer that no server gives by itself, such as a Lua error of a script of ours, is a bug and not an outage: None.
    """
    if isinstance(error, RedisTrouble):
        return error
    # Not at the top: the supervisor and the probes use this module and have no redis.
    from redis.exceptions import AuthenticationError, RedisError, ResponseError  # noqa: PLC0415
    from redis.exceptions import TimeoutError as RedisTimeoutError  # noqa: PLC0415

    if not isinstance(error, RedisError | OSError):
        return None
    text = str(error)
    if isinstance(error, ResponseError):
        return _answered(error, text)  # refusals inside a script carry "user_script" too: only what matches is trouble
    for link in _chain(error):
        found = _of_socket(link) if link is not error or isinstance(error, ConnectionError | TimeoutError) else None
        if found == "read_timeout" and "onnecting" in text:
            found = "connect_timeout"
        if found is not None:
            return trouble(found)
    if not isinstance(error, RedisError):
        code = _of_socket(error)
        if code in ("dns", "unreachable", "no_descriptors") or (code and isinstance(error, ssl.SSLError)):
            return trouble(code)
        return None  # an error of something else, such as a file of a job
    if isinstance(error, RedisTimeoutError):
        return trouble("connect_timeout" if "onnecting" in text else "read_timeout")
    answered = _answered(error, text)
    if answered is not None:
        return answered
    if isinstance(error, AuthenticationError):
        return trouble("wrong_password")
    if re.search(r"Connection closed|closed by server|not been fully", text):
        return trouble("reset")
    return trouble("unknown", type(error).__name__)


def _answered(error: BaseException, text: str) -> RedisTrouble | None:
    """Name what a server answered, by class and by text."""
    code = next((_CLASSES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CLASSES), None)
    code = code or next((code for pattern, code in _ANSWERS if re.search(pattern, text)), None)
    if code is None:
        return None
    return trouble(code, _said(text) if code == "no_permission" else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _of_socket(error: BaseException) -> str | None:
    """Name an error of the operating system or of TLS."""
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls_hostname" if error.verify_code in (62, 64) else "tls_certificate"  # X509_V_ERR_*_MISMATCH
    if isinstance(error, ssl.SSLError):
        reason = f"{getattr(error, 'reason', '')} {error}"
        return "tls_to_plain" if "WRONG_VERSION_NUMBER" in reason or "UNKNOWN_PROTOCOL" in reason else "tls"
    if isinstance(error, TimeoutError):
        return "tls" if "handshake" in str(error) else "read_timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return _ERRNOS.get(error.errno)
    return None


def _said(text: str) -> str:
    """Keep the command's name out of a NOPERM answer: all else may hold keys."""
    found = re.search(r"'([a-z|]+)' command", text)
    return f"no permission for {found.group(1).upper()}" if found else ""
