"""Targets that are broken in each way that a Redis URL can meet: real sockets, real servers, nothing mocked."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis as redis_py
import trustme

from tests.support.http_stub import HttpStub, QuietHandler
from tests.support.server import RedisServer, free_port
from tests.support.tls_front import TlsFront
from tests.support.waiting import eventually

#: Passwords of all these, so that a test can look for them where they must not be.
PASSWORD = "hunter2-is-the-secret"


def refused() -> str:
    """A port on which nothing listens."""
    return f"redis://:{PASSWORD}@127.0.0.1:{free_port()}"


def unknown_name() -> str:
    """A name that cannot exist (RFC 6761)."""
    return f"redis://:{PASSWORD}@redis-18843.c1.us-east1-2.gce.invalid:18843"


@contextmanager
def blackhole() -> Iterator[str]:
    """A listener whose queue of connections is full: the kernel drops every further SYN, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(4):
            end = stack.enter_context(socket.socket())
            end.setblocking(False)
            with suppress(BlockingIOError):
                end.connect(listener.getsockname())
        yield f"redis://:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A server that answers each piece that it reads with `answer(piece)`; None = it hangs up. Yields its port."""

    def serve(end: socket.socket) -> None:
        with suppress(OSError), end:
            while data := end.recv(65536):
                if (said := answer(data)) is None:
                    return
                end.sendall(said)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def silent() -> Iterator[str]:
    """A listener that accepts connections and says nothing."""
    with answering(lambda _data: b"") as port:
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}"


@contextmanager
def web_server() -> Iterator[str]:
    """An HTTP server."""
    with HttpStub(QuietHandler) as server:
        yield f"redis://:{PASSWORD}@127.0.0.1:{server.port}"


class Authority:
    """A certificate authority of our own, with its file."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA(organization_name="Tests of the worker")
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def good(self, *names: str, days: float = 90) -> trustme.LeafCert:
        """A certificate for 127.0.0.1 (or other names) that expires in so many days; negative ones have passed."""
        end = datetime.now(UTC) + timedelta(days=days)
        return self.ca.issue_cert(*(names or ("127.0.0.1",)), not_after=end)


@contextmanager
def tls_in_front_of(port: int, certificate: trustme.LeafCert) -> Iterator[int]:
    """A TLS server that hands what it decrypts to a port; yields its own port."""
    with TlsFront(port, certificate) as front:
        yield front.port


@contextmanager
def loading() -> Iterator[str]:
    """A server that is reading its data, slowly."""
    # Valkey and Redis look at their clients every so many bytes of the file; the delay is microseconds a key.
    with RedisServer(arguments=("--loading-process-events-interval-bytes", "1024")) as server:
        with server.client() as admin, server.client(socket_timeout=None) as reloader:
            admin.execute_command("DEBUG", "POPULATE", "20000")
            admin.config_set("key-load-delay", "5000")

            def reload() -> None:
                with suppress(redis_py.RedisError):
                    reloader.execute_command("DEBUG", "RELOAD")

            thread = threading.Thread(target=reload, daemon=True)
            thread.start()
            eventually(lambda: _complains(admin, redis_py.exceptions.BusyLoadingError), what="loading")
            yield server.url
            server.kill()
            thread.join(10)


@contextmanager
def full() -> Iterator[str]:
    """A server whose memory is full."""
    with RedisServer(maxmemory="3mb") as server, server.client() as filler:
        with contextlib.suppress(redis_py.exceptions.OutOfMemoryError):
            for number in range(100):
                filler.set(f"filling:{number}", "x" * 100_000)
        yield server.url


@contextmanager
def replica() -> Iterator[str]:
    """A replica of a primary that runs."""
    with RedisServer(arguments=("--repl-diskless-sync-delay", "0")) as primary:
        with RedisServer(arguments=("--replicaof", "127.0.0.1", str(primary.port))) as server, server.client() as seen:
            eventually(lambda: seen.info("replication").get("master_link_status") == "up", what="the replica's link")
            yield server.url


@contextmanager
def lonely() -> Iterator[str]:
    """A primary that wants a replica for its writes, and has none."""
    with RedisServer(aof=True, arguments=("--min-replicas-to-write", "1")) as server:
        yield server.url


@contextmanager
def busy() -> Iterator[str]:
    """A server that runs somebody's endless script."""
    with RedisServer(aof=True, arguments=("--busy-reply-threshold", "1")) as server:
        with server.client(socket_timeout=None) as runner, server.client() as watcher:

            def run() -> None:
                with suppress(redis_py.RedisError):
                    runner.eval("while true do end", 0)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            eventually(lambda: _complains(watcher, redis_py.exceptions.ResponseError), what="the endless script")
            yield server.url
            watcher.execute_command("SCRIPT", "KILL")
            thread.join(10)


@contextmanager
def crowded() -> Iterator[str]:
    """A server that takes no more clients."""
    with RedisServer(arguments=("--maxclients", "4")) as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        def refuses() -> bool:
            with socket.create_connection(("127.0.0.1", server.port), 1) as end:
                end.settimeout(1)
                with suppress(OSError):
                    return b"max number of clients" in end.recv(100)
            return False

        eventually(refuses, what="the limit")
        yield server.url


OLD_INFO = "# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\nuptime_in_seconds:90000\r\nrole:master\r\n"


@contextmanager
def old(info: str = OLD_INFO) -> Iterator[str]:
    """A stand-in for Redis 5, or for what gives another INFO: no HELLO, few commands."""

    def answer(data: bytes) -> bytes:
        said = b""
        for command in _commands(data):
            name = command[0].upper()
            if name == b"PING":
                said += b"+PONG\r\n"
            elif name == b"INFO":
                said += f"${len(info)}\r\n{info}\r\n".encode()
            elif name in (b"SET", b"CLIENT", b"SELECT"):
                said += b"+OK\r\n"
            else:
                said += b"-ERR unknown command `" + command[0] + b"`, with args beginning with: \r\n"
        return said

    with answering(answer) as port:
        yield f"redis://127.0.0.1:{port}"


def _commands(data: bytes) -> Iterator[list[bytes]]:
    """Split whole RESP commands, which is how short ones come over the loopback."""
    while data:
        head, _, data = data.partition(b"\r\n")
        command = []
        for _ in range(int(head[1:])):
            length, _, data = data.partition(b"\r\n")
            size = int(length[1:])
            command.append(data[:size])
            data = data[size + 2 :]
        yield command


def _complains(client: redis_py.Redis, kind: type[Exception]) -> bool:
    try:
        client.ping()
    except kind:
        return True
    except redis_py.RedisError:
        return False
    return False
