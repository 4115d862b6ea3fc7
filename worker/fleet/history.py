"""What was seen of the fleet within the last hour: a few numbers a look, in memory, for the console's curves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from worker.fleet.state import Fleet

#: How far back it reaches, and how many looks it keeps at most: one every five seconds.
KEPT_SECONDS: Final = 3600.0
MOST_SAMPLES: Final = 720
#: Two looks further apart say nothing about the pace between them.
GAP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, `at` a `time.monotonic()`. `done` and `failed`: jobs a minute since the look before it, None = unknown.

    These are sums over the consumers of both looks: what a consumer did that is gone since then is not counted.
    """

    at: float
    waiting: int
    running: int
    oldest_wait: float
    dead_letters: int
    consumers: int
    done: float | None
    failed: float | None


class History:
    """Samples, the oldest first. One thread adds; any may read."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._counters: dict[str, tuple[int, int]] = {}

    def add(self, now: float, fleet: Fleet) -> None:
        """Note what was seen."""
        counters = {one.name: (one.succeeded, one.failed) for one in fleet.consumers}
        last = self._samples[-1].at if self._samples else None
        done = failed = None
        if last is not None and 0 < now - last <= GAP_SECONDS:
            both = [(self._counters[name], count) for name, count in counters.items() if name in self._counters]
            done, failed = (
                60 * sum(max(0, after[kind] - before[kind]) for before, after in both) / (now - last) for kind in (0, 1)
            )
        self._counters = counters
        self._samples.append(
            Sample(
                now,
                sum(queue.waiting for queue in fleet.queues),
                sum(queue.running for queue in fleet.queues),
                max((queue.next_waits or 0.0 for queue in fleet.queues), default=0.0),
                fleet.dead_letters,
                len(fleet.consumers),
                done,
                failed,
            )
        )

    def since(self, moment: float) -> list[Sample]:
        """Return the samples from a moment on."""
        return [sample for sample in self._samples.copy() if sample.at >= moment]
