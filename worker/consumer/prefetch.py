"""How many jobs to claim at once: as many as are done within the patience, no more.

Prefetch is earned. It starts at one, doubles while batches stay short, and falls back to one with the first job that
takes longer than the whole patience. A long job therefore never has claimed neighbours for more than one batch.
"""

from __future__ import annotations

from typing import Final

#: What a claimed job may wait for its neighbours, in seconds; also how late a result of a batch may become visible.
PATIENCE_SECONDS: Final = 0.020
#: Next to a server of its own a batch of 16 is as fast; one that is 20 ms away is asked a quarter as often with 64.
MOST: Final = 64
#: Weight of the newest batch in the running mean of a job's time.
_WEIGHT: Final = 0.3


class Prefetch:
    """The batch size of one consumer that runs `hands` jobs at once; `most` = 1 turns prefetching off."""

    def __init__(self, most: int = MOST, hands: int = 1) -> None:
        self.want = 1
        self._most = most
        self._patience = PATIENCE_SECONDS * hands
        self._mean = 0.0

    def learn(self, jobs: int, seconds: float, longest: float) -> None:
        """Take in a batch: how many jobs ran, in what time together, and how long the longest took."""
        if not jobs:
            return
        mean = seconds / jobs
        self._mean = mean if self._mean == 0.0 else self._mean + _WEIGHT * (mean - self._mean)
        if longest > PATIENCE_SECONDS:
            self._mean = max(self._mean, longest)
            self.distrust()
        else:
            self.want = max(1, min(self._most, self.want * 2, int(self._patience / max(self._mean, 1e-6))))

    def distrust(self) -> None:
        """Begin again with one: a job takes long."""
        self.want = 1
