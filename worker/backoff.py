"""How long to wait before the next try: pure arithmetic, no clock and no sleep.

Full jitter spreads clients that failed together over the whole window, which ends a stampede soonest
("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from collections.abc import Callable

#: 2**64 times any sensible base exceeds any sensible cap; larger exponents would only overflow a float.
_MAX_EXPONENT = 64


def exponential(attempt: int, *, base: float, cap: float) -> float:
    """Return the longest wait in seconds after failure `attempt` (1-based): `base`, doubled up to `cap`."""
    exponent = min(max(attempt, 1) - 1, _MAX_EXPONENT)
    return min(cap, base * 2.0**exponent)


def full_jitter(attempt: int, *, base: float, cap: float, rng: Callable[[], float] = random.random) -> float:
    """Return a wait in seconds, even over [0, `exponential(attempt)`); `rng` gives numbers in [0, 1)."""
    return rng() * exponential(attempt, base=base, cap=cap)
