"""Whose turn it is to block in a claim (``consumer/claim_ahead.py``): one consumer of an instance at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from typing import IO


def consumers_block(queues: int, threads: int) -> bool:
    """Whether consumers wait in a claim that blocks; otherwise the dispatcher waits with its doorbell and wakes them.

    They block for one queue, because a connection blocks on one list, and for one job at a time, because a main thread
    that claims for other threads must go on settling what these have done.
    """
    return queues == 1 and threads == 1


class ClaimTurn:
    """The turn as a lock: the kernel frees that of a process that dies.

    Made before the forks. The lock is POSIX's (``fcntl``): it belongs to the process and is not inherited.
    """

    def __init__(self) -> None:
        self._file = _nameless_file()
        self._owner = 0

    def take(self) -> bool:
        """Take the turn if it is free; True when it is ours."""
        if self._owner == os.getpid():
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._owner = os.getpid()
        return True

    def give_back(self) -> bool:
        """Give the turn up; False when it was not ours."""
        if self._owner != os.getpid():
            return False
        self._owner = 0
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        return True


def _nameless_file() -> IO[bytes]:
    """Open a file that only this process and its children know; in memory on Linux, where the disk may be read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("worker-claim-turn"), "w+b")
    return tempfile.TemporaryFile()
