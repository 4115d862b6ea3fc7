"""redis-py's private names that this service uses, all of them: an upgrade of redis-py is checked here."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any


def fileno_of(connection: Any) -> int | None:
    """Return the file descriptor of a connection's socket, to wait for; None while it is not connected."""
    sock = connection._sock if connection is not None else None
    return None if sock is None else int(sock.fileno())


def hang_up(connection: Any) -> None:
    """End a connection that another thread may be using: what this waits for ends there as if the server had hung up.

    The socket stays that thread's to close.
    """
    if (sock := connection._sock) is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which forgets its session at once


def abandon(pool: Any) -> None:
    """Forget the sockets of a pool without closing them: their descriptors were closed, and may be somebody else's."""
    for connection in [*pool._available_connections, *pool._in_use_connections]:
        if connection._sock is not None:
            connection._sock.detach()
    pool._available_connections, pool._in_use_connections, pool._created_connections = [], set(), 0


def leave_to_parent(pool: Any) -> None:
    """Close, in a forked process, the sockets that a pool has inherited; the pool then connects anew when it is used.

    Only the descriptors: nothing is said on connections that go on living in the process that has made them.
    """
    pool._lock = threading.RLock()  # a thread that is not here may hold the other one
    for connection in [*pool._available_connections, *pool._in_use_connections]:
        sock, connection._sock = connection._sock, None
        if sock is not None:
            sock.close()


def forced_host_of(sentinel_manager: Any) -> str | None:
    """Return the host that somebody's Sentinels shall name whatever they say; None if there is none."""
    host: str | None = getattr(sentinel_manager, "_force_master_ip", None)
    return host
