"""Ports for servers of the tests: free, and nobody else's until this process ends."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

#: Below Linux's ephemeral range (32768 on), so that no outgoing connection takes the port while the server is down.
_PORTS = (20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on, and that no other run of tests is given.

    It stays reserved while its server is down or not up yet: a port that only was free a moment ago is found free by
    the other processes that run tests as well.
    """
    while True:
        port = random.randint(*_PORTS)
        if port not in _given and _is_free(port) and _reserve(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Lock the byte of that number in a file that all runs share; the kernel frees it when this process ends.

    The lock is POSIX's: children do not inherit it. The file stays open, because closing it would free every lock.
    """
    try:
        fcntl.lockf(_reservations, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


_reservations = os.open(
    Path(tempfile.gettempdir()) / f"worker-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
)
