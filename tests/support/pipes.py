"""The lines that a process writes into a pipe, read in the background and yet never behind when somebody asks."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import threading
from collections.abc import Callable
from typing import IO

_CHUNK = 1 << 16


class Lines:
    """Reads `pipe` to its end in a thread and calls `take` with each line; closes it then.

    Bytes leave the pipe and become lines under one lock: whoever holds it and finds the pipe empty has seen all that
    was written. So `catch_up` needs no end of the pipe, which children may hold open for long.
    """

    def __init__(self, pipe: IO[bytes], take: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._take = take
        self._rest = b""
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def catch_up(self) -> None:
        """Return when all that had been written before the call has been taken; a process that writes on is no bar."""
        with self._lock:
            waiting = self._unread()
            while waiting > 0:
                waiting -= self._read_some()

    def _read(self) -> None:
        while not self._pipe.closed:
            select.select([self._pipe], [], [])  # a read that blocks would hold the lock meanwhile
            with self._lock:
                if select.select([self._pipe], [], [], 0)[0]:  # `catch_up` may have been faster
                    self._read_some()

    def _read_some(self) -> int:
        """Take what is there; returns how many bytes, and closes the pipe at its end. The caller holds the lock."""
        chunk = os.read(self._pipe.fileno(), _CHUNK)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk:
            lines, self._rest = [self._rest] if self._rest else [], b""
            self._pipe.close()
        for line in lines:
            self._take(line.decode(errors="backslashreplace").rstrip())
        return len(chunk)

    def _unread(self) -> int:
        """Return how many bytes are in the pipe. The caller holds the lock."""
        if self._pipe.closed:
            return 0
        size = array.array("i", [0])
        fcntl.ioctl(self._pipe, termios.FIONREAD, size)
        return size[0]
