"""How the dispatcher wakes the consumers of its instance: a pipe made before the forks.

One byte wakes one sleeper, so that a single job does not start a stampede of claims. `waiting` goes the other way: a
consumer that found nothing tells the dispatcher to watch the queues for it.
"""

from __future__ import annotations

import contextlib
import os


class Bell:
    """A counting wake-up shared by forked processes."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return what to ``select`` on."""
        return self._reader

    def ring(self, times: int = 1) -> None:
        """Wake up to `times` sleepers; a full pipe means that everybody has been rung for already."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0" * times)

    def answer(self, most: int = 1) -> bool:
        """Take up to `most` rings; False when somebody else was faster."""
        try:
            return bool(os.read(self._reader, most))
        except BlockingIOError:
            return False
