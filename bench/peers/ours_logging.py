"""The worker of this checkout with its default logging: a JSON line per event of a job."""

from __future__ import annotations

from bench.peers import Start, ours
from bench.peers.ours import enqueue

__all__ = ["commands", "enqueue"]


def commands(slots: int | None) -> list[Start]:
    """Start the service at its default log level."""
    return ours.commands(slots, log_level="INFO")
