"""Connections that follow a primary: each asks the Sentinels, when it connects, where the primary is now.

A connection is hung up when the server behind it is the primary no more: it says so itself (READONLY, or as a replica
while it connects), or the Sentinels name another one. The latter is looked at twice a second in a thread, because a
server that is frozen or cut off says nothing, and something may wait for its answer. What used the connection gets the
error of a cut one, and connects anew. All takes its connections from such a pool: scripts, doorbells, RQ, pub/sub.

The rules are those of https://redis.io/docs/latest/develop/reference/sentinel-clients/.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, NamedTuple
from weakref import WeakSet, ref

from redis import Redis
from redis.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from worker.redis.private import hang_up
from worker.redis.translate import NamedError, translate
from worker.text import text_of

#: How long one Sentinel may take to accept a connection, and to answer. Others are asked then.
ASK_SECONDS: Final = 1.0
#: How long a primary may take to accept a connection: what takes longer is what Sentinels are about to replace. A
#: packet that gets lost is sent again after a second.
CONNECT_SECONDS: Final = 1.5
#: How long a Sentinel that was silent is not asked, as long as most of the others answer.
REST_SECONDS: Final = 10.0
#: How long a server that was not found to be a primary is not taken for one on the word of a failover's leader alone.
DOUBT_SECONDS: Final = 0.2
#: Between two looks whether the Sentinels still name the same primary.
WATCH_SECONDS: Final = 0.5

Address = tuple[str, int]


class Told(NamedTuple):
    """What one Sentinel says. A higher `epoch` is newer: Sentinels take over the configuration that has the highest."""

    epoch: int
    address: Address | None  #: None: it does not know the service
    promoted: Address | None = None  #: the replica that it is making the primary just now; see `Sentinels.primary`


class Sentinels:
    """The Sentinels of one service. `clients` ask one each and are closed with `close`; thread-safe.

    `host` replaces the one that the Sentinels name, where their address means nothing here.
    """

    def __init__(self, clients: Sequence[Redis], service: str, *, host: str | None = None) -> None:
        self.service = service
        self._not_before = dict.fromkeys(clients, float("-inf"))  #: when each is asked again (monotonic)
        self._doubted: dict[Address, float] = {}  #: until when (monotonic)
        self._host = host
        self._followers: WeakSet[Follower] = WeakSet()
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Begin anew, in a forked process: threads that are not here may hold the locks."""
        self._asking = threading.Lock()
        self.cutting = threading.RLock()  #: held while sockets of followers are shut down, or closed
        self._watch: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.service}>"

    def primary(self) -> Address:
        """Return where the primary is, by the newest configuration that a Sentinel tells; raises `NamedError`.

        Sentinels learn that a replica takes writes up to a second after it does. So the one that the leader of a
        failover has ordered to is taken at its word as soon as it calls itself a primary (see `doubt`).
        """
        told: list[Told] = []
        silent: list[RedisError] = []
        with self._asking:
            rested = sorted(self._not_before, key=self._not_before.__getitem__)
            for client in rested:
                if self._not_before[client] > monotonic() and len(told) > len(rested) // 2:
                    break
                try:
                    told.append(ask(client, self.service))
                    self._not_before[client] = float("-inf")
                except RedisError as error:
                    silent.append(error)
                    self._not_before[client] = monotonic() + REST_SECONDS
        known = [(said.epoch, said.address) for said in told if said.address is not None]
        if not known:
            raise NamedError(why_unknown(told, silent))
        promoted = (said.promoted for said in told if said.promoted is not None)
        host, port = next(filter(self._is_credible, promoted), max(known, key=lambda said: said[0])[1])
        return self._host or host, port

    def doubt(self, address: Address) -> None:
        """Note that a server does not call itself a primary, or cannot be reached."""
        self._doubted[address] = monotonic() + DOUBT_SECONDS

    def _is_credible(self, address: Address) -> bool:
        return self._doubted.get((self._host or address[0], address[1]), 0.0) < monotonic()

    def follow(self, connection: Follower) -> None:
        """Hang `connection` up as soon as another primary is named than it is connected to."""
        with self.cutting:
            self._followers.add(connection)
            if self._watch is None or not self._watch.is_alive():
                own = ref(self)
                self._watch = threading.Thread(target=_watch, args=(own,), daemon=True, name="sentinels")
                self._watch.start()

    def look(self) -> bool:
        """Hang up what is connected to another server than the primary; False when nothing is connected at all."""
        with self.cutting:
            if not any(connection.address for connection in self._followers):
                self._watch = None
                return False
        try:
            address = self.primary()
        except RedisError:
            return True  # Sentinels that are away say nothing against the server that works
        with self.cutting:
            for connection in self._followers:
                if connection.address not in (None, address):
                    hang_up(connection)
        return True

    def close(self) -> None:
        """Close the connections to the Sentinels."""
        for client in self._not_before:
            client.close()


class Follower(Connection):
    """A connection to the primary that `sentinels` name; its host and port are those of the latest one."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self.sentinels = sentinels
        self.address: Address | None = None  #: what it is connected to
        options["socket_connect_timeout"] = min(options.get("socket_connect_timeout") or 60, CONNECT_SECONDS)
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> Any:
        self.host, self.port = address = self.sentinels.primary()
        try:
            sock = super()._connect()  # type: ignore[no-untyped-call]
        except OSError as error:
            if (reason := translate(error)) is not None and reason.code.startswith("tls"):
                raise
            self.sentinels.doubt(address)
            raise NamedError("primary_away") from error
        self.address = address
        self.sentinels.follow(self)
        return sock

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in, and see that this is a primary."""
        super().on_connect_check_health(check_health)
        greeting: Any = self.handshake_metadata or {}  # of HELLO; without that, READONLY will tell
        if text_of(greeting.get(b"role", greeting.get("role", b""))) in ("replica", "slave"):
            self.sentinels.doubt((self.host, self.port))
            raise NamedError("failover")

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; after READONLY the connection is closed when it is given back."""
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            if (reason := translate(error)) is not None and reason.code == "read_only":
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            raise

    def disconnect(self, *args: Any, **options: Any) -> None:
        """Close the socket; its descriptor may be somebody else's afterwards, so the watch must not have it."""
        with self.sentinels.cutting:
            self.address = None
            super().disconnect(*args, **options)  # type: ignore[no-untyped-call]


class TlsFollower(Follower, SSLConnection):
    """The same with TLS. The certificate must be for what the Sentinels name: an address, or the host they announce."""

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        sock.settimeout(self.socket_connect_timeout)  # nothing cuts a handshake that is not answered
        wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        wrapped.settimeout(self.socket_timeout)
        return wrapped


def ask(client: Redis, service: str) -> Told:
    """Ask one Sentinel; raises redis-py's errors."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)  # type: ignore[no-untyped-call]
        pipeline.execute_command("SENTINEL", "MASTER", service)  # type: ignore[no-untyped-call]
        where, answer = pipeline.execute(raise_on_error=False)
    if isinstance(where, RedisError):
        raise where
    facts = fields(answer)
    return Told(
        epoch=int(facts.get("config-epoch", 0)),
        address=None if where is None else (text_of(where[0]), int(where[1])),
        promoted=_promoted(client, service) if "failover_in_progress" in facts.get("flags", "") else None,
    )


def _promoted(client: Redis, service: str) -> Address | None:
    replicas: Any = client.execute_command("SENTINEL", "REPLICAS", service)  # type: ignore[no-untyped-call]
    for facts in map(fields, replicas):
        if "promoted" in facts.get("flags", "").split(","):
            return facts["ip"], int(facts["port"])
    return None


def fields(answer: Any) -> dict[str, str]:
    """Return a Sentinel's list of names and values as a mapping; a refusal has none."""
    if not isinstance(answer, list):
        return {}
    words = [text_of(word) for word in answer]
    return dict(zip(words[::2], words[1::2], strict=False))


def why_unknown(told: list[Told], silent: list[RedisError]) -> str:
    """Return the code of why no Sentinel names a primary."""
    if any(isinstance(error, AuthenticationError | ResponseError) for error in silent):
        return "sentinel_login"
    return "sentinel_service" if told else "sentinel_away"


def _watch(sentinels: ref[Sentinels]) -> None:
    """Look again and again, as long as somebody holds the Sentinels and is connected."""
    pause = threading.Event()
    while True:
        began = monotonic()
        held = sentinels()
        if held is None or not held.look():
            return
        del held
        pause.wait(max(0.0, WATCH_SECONDS - (monotonic() - began)))


def _renew_all() -> None:
    for sentinels in [*_all]:
        sentinels.renew()


_all: Final[WeakSet[Sentinels]] = WeakSet()
os.register_at_fork(after_in_child=_renew_all)
