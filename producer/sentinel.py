"""Redis over TCP where Sentinels say which server is the primary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from redis import Redis

SCHEMES = ("redis+sentinel", "rediss+sentinel")


def is_sentinel(url: str) -> bool:
    """Whether a URL names Sentinels."""
    return url.partition("://")[0] in SCHEMES


def primary_of(url: str, **options: Any) -> Redis:
    """Make a client that asks the Sentinels, whenever it connects, for the primary; `options` are its connections'.

    The URL is the worker's: ``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]``, with
    ``rediss+sentinel`` for TLS, and `sentinel_username`, `sentinel_password` and `sentinel_tls` after the ? for the
    Sentinels themselves. Raises `ValueError`.
    """
    from redis.connection import SSLConnection, parse_url  # noqa: PLC0415 — REST producers do not need it
    from redis.sentinel import Sentinel  # noqa: PLC0415

    service, primary, sentinels = _read(url)
    asked = {name: value for name, value in parse_url(primary).items() if name not in ("host", "port")}  # type: ignore[no-untyped-call]
    asked["ssl"] = asked.pop("connection_class", None) is SSLConnection
    clients = [_of(parse_url(sentinel), options) for sentinel in sentinels]  # type: ignore[no-untyped-call]
    manager = Sentinel([])  # type: ignore[no-untyped-call]
    manager.sentinels = clients
    client: Redis = manager.master_for(service, **{**asked, **options})  # type: ignore[no-untyped-call]
    return client


def _of(asked: dict[str, Any], options: dict[str, Any]) -> Redis:
    from redis import ConnectionPool, Redis  # noqa: PLC0415

    return Redis.from_pool(ConnectionPool(**{**asked, **options}))


def _read(url: str) -> tuple[str, str, list[str]]:
    """Return the service, a URL of the primary whose host is a stand-in, and one of each Sentinel."""
    scheme, _, rest = url.partition("://")
    plain = scheme.partition("+")[0]
    before, _, query = rest.partition("#")[0].partition("?")
    authority, _, path = before.partition("/")
    secret, at, hosts = authority.rpartition("@")
    service, slash, database = path.strip("/").partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", service) or any(host[:1] in ("", ":") for host in hosts.split(",")):
        raise ValueError
    given = parse_qsl(query, keep_blank_values=True)
    own = {name: value for name, value in given if name.startswith("sentinel_")}
    shared = [(name, value) for name, value in given if not name.startswith("sentinel_")]
    with_tls = own.pop("sentinel_tls", "true" if plain == "rediss" else "false") == "true"
    login = [(name.removeprefix("sentinel_"), value) for name, value in own.items()]
    theirs = login + [(name, value) for name, value in shared if with_tls and name.startswith("ssl_")]
    if plain == "redis" and with_tls:  # what is for TLS is for the Sentinels alone
        shared = [(name, value) for name, value in shared if not name.startswith("ssl_")]
    addresses = [host if re.search(r":[^\]]*$", host) else f"{host}:26379" for host in hosts.split(",")]
    kind = "rediss" if with_tls else "redis"
    return (
        service,
        f"{plain}://{secret}{at}{addresses[0]}{slash}{database}?{urlencode(shared)}",
        [f"{kind}://{host}?{urlencode(theirs)}" for host in addresses],
    )
