"""What a URL of Sentinels names: ``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db][?options]``.

User and password are the database's. What the Sentinels themselves want is said by options: `sentinel_username`,
`sentinel_password` and `sentinel_tls`; without the last one they are spoken to as the database is, with TLS if the
scheme is ``rediss+sentinel``. All other options are those of ordinary URLs; the TLS options are for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
#: The port of a Sentinel that names none.
SENTINEL_PORT: Final = 26379
#: Options for the Sentinels, and what each must hold.
OPTIONS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "sentinel_username": (bool, "a user name"),
    "sentinel_password": (bool, "a password"),
    "sentinel_tls": (("true", "false").__contains__, "true or false"),
}
#: What Sentinel accepts as a name (its source: sentinel.c, "Master names sanity check").
_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """Its parts, each as an ordinary URL. The `primary`'s host is a stand-in: the Sentinels say where it is."""

    service: str
    primary: str = field(repr=False)
    sentinels: tuple[str, ...] = field(repr=False)

    @property
    def is_named(self) -> bool:
        """Whether there is a service, by a name that a Sentinel can know."""
        return _SERVICE.fullmatch(self.service) is not None


def is_sentinel(url: str) -> bool:
    """Whether a URL names Sentinels."""
    return url.partition("://")[0] in SCHEMES


def read(url: str) -> SentinelUrl:
    """Take a URL apart, right or wrong: what is wrong with it, is wrong with one of the URLs that this returns."""
    scheme, _, rest = url.partition("://")
    plain = scheme.partition("+")[0]
    authority, path, query = _split(rest)
    secret, at, hosts = authority.rpartition("@")
    service, slash, database = path.strip("/").partition("/")
    options = parse_qsl(query, keep_blank_values=True)
    own = {name: value for name, value in options if name in OPTIONS}
    shared = [(name, value) for name, value in options if name not in OPTIONS]
    with_tls = own.get("sentinel_tls", "true" if plain == "rediss" else "false") == "true"
    login = [(name.removeprefix("sentinel_"), value) for name, value in own.items() if name != "sentinel_tls"]
    if with_tls and plain != "rediss":  # what is for TLS is for the Sentinels alone
        primary = [(name, value) for name, value in shared if not name.startswith("ssl_")]
    else:
        primary = shared
    theirs = login + [(name, value) for name, value in shared if with_tls and name.startswith("ssl_")]
    first, *_ = addresses = [_with_port(host) for host in hosts.split(",")]
    return SentinelUrl(
        service=service,
        primary=f"{plain}://{secret}{at}{first}{slash}{database}{_query(primary)}",
        sentinels=tuple(f"{'rediss' if with_tls else 'redis'}://{host}{_query(theirs)}" for host in addresses),
    )


def _split(rest: str) -> tuple[str, str, str]:
    """Return authority, path and query of what comes after the scheme."""
    before, _, query = rest.partition("#")[0].partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, query


def _query(options: list[tuple[str, str]]) -> str:
    return f"?{urlencode(options)}" if options else ""


def _with_port(host: str) -> str:
    return host if re.search(r":[^\]]*$", host) else f"{host}:{SENTINEL_PORT}"
