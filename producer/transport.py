"""How commands get to Redis and answers back, within a deadline, whatever carries them."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from .errors import Refused, Unreachable

Command = Sequence[str]

#: The first wait between two tries is up to this; it doubles.
BASE_SECONDS: Final = 0.05
CAP_SECONDS: Final = 1.0


class Passing(Exception):
    """Trouble that may be over at the next try; the message is a sentence, `after` the seconds that it asks for."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after


class Transport(ABC):
    """Sends commands that are safe to send twice, and tries again while the deadline allows.

    `try_seconds` bounds one try, so that a lost answer leaves time for another one. After the first, no try is begun
    with less than `least_seconds` left.
    """

    try_seconds: float = 3.0
    least_seconds: float = 0.05

    def call(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Run `commands` in order, within `seconds` in all; returns their answers: text, int, list or None.

        Raises `Unreachable` and `Refused`.
        """
        deadline = time.monotonic() + seconds
        tries = 0
        while True:
            tries += 1
            left = deadline - time.monotonic()
            try:
                return self._once(commands, min(self.try_seconds, max(left, self.least_seconds)))
            except Passing as trouble:
                wait = max(trouble.after, random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2**tries)))
                if time.monotonic() + wait + self.least_seconds > deadline:
                    again = "" if tries == 1 else f" ({tries} tries in {seconds:.1f} s)"
                    raise Unreachable(f"{trouble}{again}") from None
            time.sleep(wait)

    @abstractmethod
    def _once(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Try once; raises `Passing` and `Refused`."""

    def close(self) -> None:  # noqa: B027  most have nothing to close
        """Give up connections that are kept for the next call."""


def raise_for(error: str) -> None:
    """Raise what an error reply of Redis means."""
    code = error.partition(" ")[0]
    if code in ("LOADING", "BUSY", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"):
        raise Passing(f"Redis cannot take writes at the moment ({code}).")
    if code in ("WRONGPASS", "NOAUTH"):
        raise Refused(
            "Redis refuses the credentials. Over REST it wants UPSTASH_REDIS_REST_TOKEN as the console shows it beside "
            "the REST URL (not the password, and not the read-only token)."
        )
    if code == "NOPERM":
        raise Refused("Redis refuses the command to this user (NOPERM). Is it the read-only token?")
    if code == "OOM" or "capacity quota exceeded" in error:
        raise Refused("Redis is full and takes no more data. Free space or take a larger plan.")
    if "requests limit exceeded" in error or "request limit exceeded" in error:
        raise Refused("The Redis plan's quota of commands is used up. Take a larger plan or wait for the next period.")
    if "max concurrent connections" in error or "max number of clients" in error:
        raise Passing("Redis has no free connection.")
    raise Refused(f"Redis answered an error: {error[:300]}")
