"""The chore that names shared keys which hold something else than they should (``engine/key_types.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from worker import logs
from worker.engine import key_types
from worker.redis.calls import ScriptCalls
from worker.redis.troubles import TROUBLES

log = logs.get_logger()

#: Between two looks that nothing calls for.
LOOK_SECONDS: Final = 1800.0
#: Between two looks while a key is known to be wrong, or something was refused because of one.
SOON_SECONDS: Final = 10.0


class KeyTypes:
    """The chore of one instance."""

    def __init__(self, calls: ScriptCalls, queues: Sequence[str], letters_queue: str) -> None:
        self.due = 0.0
        self._calls = calls
        self._queues = queues
        self._letters_queue = letters_queue
        self._said: list[str] = []

    def run(self) -> None:
        """Look, and log what has changed."""
        wrong = key_types.wrong(self._calls, self._queues, self._letters_queue)
        if wrong and wrong != self._said:
            log.error("keys.unusable", keys=wrong, fix=TROUBLES["wrong_type"].fix)
        elif self._said and not wrong:
            log.info("keys.usable")
        self._said = wrong
        self.due = monotonic() + (SOON_SECONDS if wrong else LOOK_SECONDS)

    def look_soon(self) -> None:
        """Look at the keys: something was refused because one holds something else."""
        self.due = min(self.due, monotonic() + SOON_SECONDS)
