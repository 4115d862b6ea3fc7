"""What a chore of the dispatcher is."""

from __future__ import annotations

from typing import Protocol


class Chore(Protocol):
    """Something that falls due again and again."""

    @property
    def due(self) -> float:
        """When it falls due next (monotonic)."""
        ...

    def run(self) -> None:
        """Do it once and set the next `due` (monotonic)."""
        ...
