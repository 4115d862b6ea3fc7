"""redis-py's private names that this service uses, all of them: an upgrade of redis-py is checked here."""

from __future__ import annotations

from typing import Any


def fileno_of(connection: Any) -> int | None:
    """Return the file descriptor of a connection's socket, to wait for; None while it is not connected."""
    sock = connection._sock if connection is not None else None
    return None if sock is None else int(sock.fileno())
