"""Job functions that break the consumer that runs them, as careless job code does."""

from __future__ import annotations

import gc
import os

from worker.consumer.supervision import Supervised


def close_every_file() -> None:
    """Close all descriptors but the standard ones, as code does that wants to become a daemon."""
    os.closerange(3, 4096)


def take_the_wakeups_place() -> None:
    """Put another pipe where the consumer is woken: what a close() of the wrong number and an open() do."""
    (supervision,) = (thing for thing in gc.get_objects() if isinstance(thing, Supervised))
    silent, _ = os.pipe()
    os.dup2(silent, supervision._wake_consumers.fileno())
