"""How processes of one instance wake each other: a pipe made before the forks.

There are two. The dispatcher wakes consumers: one byte wakes one sleeper, so that a single job starts no stampede of
claims. And a consumer that found nothing wakes the dispatcher, which then arms the doorbell for it.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable


class Wakeup:
    """A counting wake-up shared by forked processes."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Make a new pipe, which wakes nobody in other processes; the numbers of the old one may be others' by now."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._reader

    def send(self, times: int = 1) -> None:
        """Wake up to `times` sleepers; a full pipe means that everybody has been woken already."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0" * times)

    def take(self, most: int = 1) -> bool:
        """Take up to `most` wake-ups; False when there are none, because another process was faster."""
        try:
            return bool(os.read(self._reader, most))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close the pipe, in this process."""
        os.close(self._reader)
        os.close(self._writer)


def readable(fds: Iterable[int], seconds: float) -> list[int]:
    """Wait up to `seconds` until one of `fds` can be read, or is broken; return those.

    By ``poll``, not ``select``: a job may have more than 1,024 descriptors open.
    """
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(max(0.0, seconds) * 1000)]
