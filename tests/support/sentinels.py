"""A primary, a replica, and Sentinels that watch over them: real processes, which are killed, frozen and switched."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self

import redis as redis_py

from tests.support.server import RedisServer, Tls
from tests.support.waiting import eventually

SERVICE: Final = "mymaster"
#: How long a server may be silent before a Sentinel takes it for down; it looks as often as this, or once a second.
DOWN_AFTER_MS: Final = 1000
#: The same for tests, on machines so busy that a server may stand still for seconds although nothing is wrong.
PATIENT_MS: Final = 5000


class SentinelServer(RedisServer):
    """One Sentinel; `watched` is the server that it monitors first."""

    def __init__(
        self, watched: RedisServer, *, quorum: int = 2, down_after_ms: int = DOWN_AFTER_MS, **options: Any
    ) -> None:
        super().__init__(**options)
        self._watched, self._quorum, self._down_after_ms = watched, quorum, down_after_ms

    def _command(self) -> list[str]:
        lines = [f"sentinel monitor {SERVICE} 127.0.0.1 {self._watched.port} {self._quorum}"]
        if self._watched.password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._watched.password}")
        lines += [
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 6000",
        ]
        if self.tls:
            lines += ["port 0", f"tls-port {self.port}", "tls-auth-clients no", "tls-replication yes"]
            lines += [f"tls-cert-file {self.tls.certificate}", f"tls-key-file {self.tls.key}"]
            lines += [f"tls-ca-cert-file {self.tls.authority}"]
        else:
            lines.append(f"port {self.port}")
        if self.password:
            lines.append(f"requirepass {self.password}")
        conf = self.directory / "sentinel.conf"
        if not conf.exists():
            conf.write_text("\n".join([f"dir {self.directory}", "bind 127.0.0.1", *lines, ""]))
        return [self.binary, str(conf), "--sentinel"]

    def _is_up(self, begin: int) -> bool:
        if "+monitor" not in self.log[begin:]:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Guarded:
    """A primary and a replica, both with an append-only file, under three Sentinels."""

    def __init__(
        self,
        *,
        sentinels: int = 3,
        password: str | None = None,
        sentinel_password: str | None = None,
        tls: Tls | None = None,
        down_after_ms: int = PATIENT_MS,
    ) -> None:
        more: tuple[str, ...] = ("--repl-diskless-sync-delay", "0", "--min-replicas-max-lag", "10")
        more += ("--masterauth", password) if password else ()
        more += ("--tls-replication", "yes") if tls else ()
        self._stack = ExitStack()
        self.servers = [RedisServer(aof=True, password=password, tls=tls, arguments=more) for _ in range(2)]
        self.sentinels: list[SentinelServer] = []
        self._sentinels, self._sentinel_password, self._tls = sentinels, sentinel_password, tls
        self._down_after_ms = down_after_ms

    @property
    def url(self) -> str:
        """Return the URL that a client needs, passwords included."""
        password = self.servers[0].password
        scheme = "rediss" if self._tls else "redis"
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        options = [f"sentinel_password={self._sentinel_password}"] if self._sentinel_password else []
        options += [f"ssl_ca_certs={self._tls.authority}"] if self._tls else []
        secret = f":{password}@" if password else ""
        return f"{scheme}+sentinel://{secret}{hosts}/{SERVICE}/0" + (f"?{'&'.join(options)}" if options else "")

    def port(self) -> int:
        """Return the port of the primary, as a Sentinel names it."""
        for sentinel in self.sentinels:
            if sentinel.running:
                with sentinel.client(socket_timeout=5) as client, suppress(redis_py.RedisError):
                    answer: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                    return int(answer[1])
        raise RuntimeError("no Sentinel answers")

    @property
    def primary(self) -> RedisServer:
        """The server that the Sentinels name."""
        port = self.port()
        return next(server for server in self.servers if server.port == port)

    @property
    def other(self) -> RedisServer:
        """The one that they do not name."""
        port = self.port()
        return next(server for server in self.servers if server.port != port)

    def settled(self) -> bool:
        """Whether a failover can go well: a primary with a replica in step, which all Sentinels know."""
        try:
            return self._is_settled()
        except redis_py.ConnectionError:  # Sentinel cuts all connections of a server whose role it changes
            return False

    def _is_settled(self) -> bool:
        named = {self._view(sentinel) for sentinel in self.sentinels if sentinel.running}
        if len(named) != 1 or not (view := named.pop()) or not all(server.running for server in self.servers):
            return False
        with self.primary.client() as client, self.other.client() as other:
            replicas, link = client.info("replication"), other.info("replication")
            return bool(
                view[1:] == ("master", "1", str(len(self.sentinels) - 1))
                and replicas["connected_slaves"] == 1
                and link["role"] == "slave"
                and link["master_link_status"] == "up"
                and link["master_port"] == self.primary.port
            )

    def _view(self, sentinel: RedisServer) -> tuple[str, ...]:
        with sentinel.client(socket_timeout=5, protocol=2) as client:
            answer: list[bytes] = client.execute_command("SENTINEL", "MASTER", SERVICE)
        words = [bytes(word).decode() for word in answer]
        facts = dict(zip(words[::2], words[1::2], strict=True))
        return tuple(facts.get(name, "") for name in ("port", "flags", "num-slaves", "num-other-sentinels"))

    def switch(self) -> None:
        """Order a failover, as for maintenance; returns when the Sentinels have begun."""
        with self.sentinels[0].client() as client:
            eventually(lambda: _ordered(client), what="SENTINEL FAILOVER")

    def start(self) -> Self:
        """Start everything, and wait until a failover can go well."""
        primary, replica = (self._stack.enter_context(server) for server in self.servers)
        with replica.client() as client:
            client.replicaof("127.0.0.1", primary.port)
        for _ in range(self._sentinels):
            made = SentinelServer(
                primary,
                quorum=self._sentinels // 2 + 1,
                down_after_ms=self._down_after_ms,
                password=self._sentinel_password,
                tls=self._tls,
            )
            self.sentinels.append(self._stack.enter_context(made))
        eventually(self.settled, what="a failover that can go well")
        return self

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._stack.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _ordered(client: redis_py.Redis) -> bool:
    try:
        return bool(client.execute_command("SENTINEL", "FAILOVER", SERVICE))
    except redis_py.ResponseError:  # INPROG, or NOGOODSLAVE until the replica was looked at again
        return False
