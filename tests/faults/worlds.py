"""What stands around a service in a fault test: a real server, and what is between the two."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis as redis_py
import trustme

from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.tls_front import TlsFront

PASSWORD = "a-password"
#: What a service's Redis is called where there is a name server to break.
NAME = "redis.test"


@dataclass
class World:
    """A running server and the way to it. `url` and `environ` are the service's, `admin` goes past everything."""

    server: RedisServer
    url: str
    environ: dict[str, str] = field(default_factory=dict)
    hosts: Path | None = None
    _proxy: Proxy | None = None
    _front: TlsFront | None = None
    _authority: trustme.CA | None = None
    _kept: list[redis_py.Redis] = field(default_factory=list)

    @property
    def proxy(self) -> Proxy:
        """The proxy of a world that has one."""
        assert self._proxy is not None
        return self._proxy

    def admin(self) -> redis_py.Redis:
        """Return a client of the test's own."""
        return self.server.client(socket_timeout=5)

    def keep(self) -> redis_py.Redis:
        """Return a connected client that stays until the world ends."""
        client = self.server.client(socket_timeout=20, single_connection_client=True)
        client.ping()
        self._kept.append(client)
        return client

    @property
    def kept(self) -> redis_py.Redis:
        """The client that `keep` made last."""
        return self._kept[-1]

    def name_is(self, *addresses: str) -> None:
        """Let the name server give this address from now on, or none."""
        assert self.hosts is not None
        new = self.hosts.with_suffix(".new")
        new.write_text("".join(f"{address} {NAME}\n" for address in addresses))
        new.replace(self.hosts)

    def certificate(self, name: str = "127.0.0.1", *, days: int = 1) -> None:
        """Show a certificate for `name` that ends so many days from now, and cut every connection."""
        assert self._authority is not None
        assert self._front is not None
        ends = datetime.now(UTC) + timedelta(days=days)
        self._front.certificate = self._authority.issue_cert(name, not_after=ends)
        self._front.cut()

    def close(self) -> None:
        """Close what was kept."""
        for client in self._kept:
            client.close()


@contextlib.contextmanager
def direct(_folder: Path) -> Iterator[World]:
    """The service speaks to the server itself; nothing that was acknowledged is lost when the server is killed."""
    with RedisServer(aof=True, password=PASSWORD) as server:
        yield from _lived_in(World(server, server.url))


@contextlib.contextmanager
def proxied(_folder: Path) -> Iterator[World]:
    """A proxy that can cut, hold back and refuse stands between."""
    with RedisServer() as server, Proxy(server.port) as proxy:
        yield from _lived_in(World(server, proxy.url, _proxy=proxy))


@contextlib.contextmanager
def encrypted(folder: Path) -> Iterator[World]:
    """A TLS server whose authority the service knows stands between."""
    authority = trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    with RedisServer() as server, TlsFront(server.port, authority.issue_cert("127.0.0.1")) as front:
        url = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={path}"
        yield from _lived_in(World(server, url, _front=front, _authority=authority))


@contextlib.contextmanager
def named(folder: Path) -> Iterator[World]:
    """The service knows the server, which has two addresses, by a name that a name server of its own resolves."""
    hosts = folder / "hosts"
    environ = {"PYTHONPATH": str(ROOT / "tests" / "support" / "site"), "TEST_HOSTS": str(hosts)}
    with RedisServer(arguments=("--bind", "127.0.0.1", "127.0.0.2")) as server:
        world = World(server, f"redis://{NAME}:{server.port}/0", environ, hosts)
        world.name_is("127.0.0.1")
        yield from _lived_in(world)


@contextlib.contextmanager
def everything(folder: Path) -> Iterator[World]:
    """A name server and a proxy stand between; for faults of all kinds in a row, but those of certificates."""
    hosts = folder / "hosts"
    environ = {"PYTHONPATH": str(ROOT / "tests" / "support" / "site"), "TEST_HOSTS": str(hosts)}
    with (
        RedisServer(aof=True, password=PASSWORD) as server,
        Proxy(server.port) as proxy,
    ):
        world = World(server, f"redis://:{PASSWORD}@{NAME}:{proxy.port}/0", environ, hosts, _proxy=proxy)
        world.name_is("127.0.0.1")
        yield from _lived_in(world)


def _lived_in(world: World) -> Iterator[World]:
    try:
        yield world
    finally:
        world.close()
