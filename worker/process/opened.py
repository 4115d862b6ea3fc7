"""What this process has open that the processes which it forks would share (sockets, pipes), or not have (threads)."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Hashable
from typing import Final

_FDS: Final = "/proc/self/fd"
_FAMILIES: Final = {socket.AF_INET: "", socket.AF_INET6: ""}
_KINDS: Final = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}


def look() -> dict[Hashable, str]:
    """Return it in words, by keys that tell one from another. Files are left out; without /proc all but threads are."""
    found: dict[Hashable, str] = {
        ("thread", thread.ident): f"the thread {thread.name!r}" for thread in threading.enumerate()
    }
    try:
        fds = [int(name) for name in os.listdir(_FDS)]
    except OSError:
        return found
    for fd in fds:
        try:
            target, mode = os.readlink(f"{_FDS}/{fd}"), os.fstat(fd).st_mode
        except OSError:  # the descriptor of the listing itself
            continue
        if stat.S_ISSOCK(mode):
            found["socket", target] = _socket(fd)
        elif stat.S_ISFIFO(mode):
            found["pipe", target] = "a pipe"  # once for its two ends
        elif target.startswith("anon_inode:"):
            found["anonymous", fd, target] = f"a descriptor ({target.removeprefix('anon_inode:').strip('[]')})"
    return found


def _socket(fd: int) -> str:
    """Say what a socket is for."""
    try:
        with socket.socket(fileno=os.dup(fd)) as one:
            kind = _KINDS.get(one.type, "") if one.family in _FAMILIES else ""
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"a socket that listens on {_address(one.getsockname())}"
            try:
                peer = one.getpeername()
            except OSError:
                return f"a {kind} socket".replace("  ", " ")
            if one.family == socket.AF_UNIX and not peer:
                return "a pair of sockets"
            return f"a {kind} connection to {_address(peer)}".replace("  ", " ")
    except OSError:
        return "a socket"


def _address(name: object) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) > 1 else str(name)
