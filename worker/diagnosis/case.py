"""What the steps of one diagnosis share: the target, the deadline, and what earlier steps have learned."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis
from redis.exceptions import RedisError

from worker.diagnosis.report import Finding, Status
from worker.keys import Keys
from worker.redis.sentinel import Told
from worker.settings import sentinel_url

#: Port of a URL that names none.
DEFAULT_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """One address that the host name stands for."""

    family: socket.AddressFamily
    ip: str
    port: int

    @property
    def sockaddr(self) -> tuple[str, int]:
        """What `socket.connect` wants."""
        return (self.ip, self.port)

    @property
    def is_public(self) -> bool:
        """Whether packets to it may cross the open internet."""
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_global

    def __str__(self) -> str:
        kind = "IPv6" if self.family == socket.AF_INET6 else "IPv4"
        return f"{self.ip} ({kind})"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL's parts. `repr` and `str` hold no user and no password."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    path: str  #: of a unix socket
    database: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    options: dict[str, str] = field(repr=False)
    service: str = ""  #: that the `sentinels` watch over; host and port are what they name, once they were asked
    sentinels: tuple[Target, ...] = ()

    @property
    def tls(self) -> bool:
        """Whether the URL asks for TLS."""
        return self.scheme == "rediss"

    @property
    def is_unix(self) -> bool:
        """Whether it names a socket of this machine instead of a host."""
        return self.scheme == "unix"

    @property
    def at(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def secrets(self) -> list[str]:
        """What must not be shown."""
        return [self.password, *(sentinel.password for sentinel in self.sentinels)]

    def __str__(self) -> str:
        if self.sentinels:
            login = ":***@" if self.password else ""
            hosts = ",".join(sentinel.at for sentinel in self.sentinels)
            return f"{self.scheme}+sentinel://{login}{hosts}/{self.service}/{self.database}"
        secret = ("default" if self.user == "default" else "***" * bool(self.user)) + ":***" * bool(self.password)
        at = f"{secret}@" if secret else ""
        return f"{self.scheme}://{at}{self.path if self.is_unix else f'{self.at}/{self.database}'}"


def target_of(url: str) -> Target:
    """Take a URL apart in which `redis_url.problems` finds nothing wrong."""
    if sentinel_url.is_sentinel(url):
        named = sentinel_url.read(url)
        sentinels = tuple(map(target_of, named.sentinels))
        return replace(target_of(named.primary), url=url, host="", service=named.service, sentinels=sentinels)
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    is_unix = parts.scheme == "unix"
    database = options.get("db") or ("0" if is_unix else parts.path.strip("/")) or "0"
    return Target(
        url=url,
        scheme=parts.scheme,
        host="" if is_unix else parts.hostname or "",
        port=0 if is_unix else parts.port or DEFAULT_PORT,
        path=unquote(parts.path) if is_unix else "",
        database=int(database),
        user=unquote(options.get("username", parts.username or "")),
        password=unquote(options.get("password", parts.password or "")),
        options=options,
    )


@dataclass(slots=True)
class Case:
    """One diagnosis under way. `timeout` limits each step, in seconds."""

    url: str = field(repr=False)
    timeout: float
    keys: Keys
    queues: tuple[str, ...]
    letters_queue: str
    connections: int  #: how many one instance of the worker opens
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    target: Target | None = None
    told: list[Told] = field(default_factory=list)  #: by the Sentinels that have answered
    silent: list[RedisError] = field(default_factory=list)  #: why the others have not
    addresses: list[Address] = field(default_factory=list)
    password_needed: bool = True
    client: Redis | None = None
    facts: dict[str, Any] = field(default_factory=dict)  #: of the server (INFO, or HELLO where that is refused)
    began: float = field(default_factory=monotonic)  #: when the current step began
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def left(self) -> float:
        """Seconds that the current step still has; never quite 0, which sockets take for "do not wait"."""
        return max(0.01, self.began + self.patience - monotonic())

    @property
    def patience(self) -> float:
        """Seconds that a step waits for the network: a little less than its limit, so that it can report silence."""
        return self.timeout * 0.9

    @property
    def there(self) -> Target:
        """The target, once the URL was found good."""
        if self.target is None:
            raise RuntimeError("the URL was not read yet")
        return self.target

    @property
    def redis(self) -> Redis:
        """The client, once it has connected."""
        if self.client is None:
            raise RuntimeError("nothing is connected yet")
        return self.client

    def key(self, name: str) -> str:
        """Return a key that nobody else uses, under RQ's prefix, because the user may have no rights elsewhere."""
        return self.keys.diagnosis(self.token, name)


@dataclass(slots=True)
class Found:
    """What a step found. `halt`: whether the next steps are skipped; None: they are if one of its findings failed."""

    says: str
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    halt: bool | None = None
    status: Status | None = None  #: instead of the worst of the findings

    def add(self, status: Status, says: str, fix: str = "", code: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(status=status, says=says, fix=fix, code=code))


def skipped(why: str) -> Found:
    """Return that a step does not apply, and why."""
    return Found(why, halt=False, status=Status.SKIPPED)
