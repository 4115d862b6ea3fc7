"""Which consumer of an instance keeps the watch (``consumer/claim_ahead.py``): one at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from typing import IO


def consumers_watch(queues: int, threads: int) -> bool:
    """Whether consumers keep the watch, rather than the dispatcher with its doorbell.

    They do for one queue, because a connection blocks on one list, and for one job at a time, because the thread
    that claims for a crew must go on settling what the crew has done.
    """
    return queues == 1 and threads == 1


class WatchLock:
    """Which process of an instance keeps the watch: the kernel frees the lock of one that dies.

    Made before the forks. The lock is POSIX's (``fcntl``): it belongs to the process and is not inherited.
    """

    def __init__(self) -> None:
        self._file = _nameless_file()
        self._held_by = 0

    def take(self) -> bool:
        """Take the lock if it is free; True when it is ours."""
        if self._held_by == os.getpid():
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._held_by = os.getpid()
        return True

    def give_back(self) -> bool:
        """Free the lock; False when it was not ours."""
        if self._held_by != os.getpid():
            return False
        self._held_by = 0
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        return True


def _nameless_file() -> IO[bytes]:
    """Open a file that only this process and its children know; in memory on Linux, whose disk may be read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("worker-watch"), "w+b")
    return tempfile.TemporaryFile()
