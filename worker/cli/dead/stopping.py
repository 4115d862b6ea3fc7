"""Ctrl-C for commands that change many letters: the batch under way is finished, then the command reports its state."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Final, Self

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Notes SIGINT and SIGTERM inside a ``with`` block; a second one ends the command as usual."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before = {number: signal.getsignal(number) for number in _NUMBERS}

    @property
    def asked(self) -> bool:
        """Whether a signal has asked for a stop."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep; False when the command is to stop."""
        return not self._asked.wait(seconds) if seconds > 0 else not self.asked

    def __enter__(self) -> Self:
        for number in _NUMBERS:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
