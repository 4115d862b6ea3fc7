"""A small flood: the bound of dead letters holds while jobs die, not only when they have stopped."""

from __future__ import annotations

from tests.faults.flood import flood
from tests.support.server import RedisServer


def test_what_stands_above_the_bound_has_died_just_now(own_server: RedisServer) -> None:
    seen = flood(own_server, 8, jobs=6_000, bound=50)
    told = f"{seen.rate:.0f} died a second; peak {seen.peak} above the bound: what had died in {seen.lag:.1f} s"
    print(told)
    died = seen.samples[-1].died
    assert died > 4 * seen.bound, "the machine is too slow for a flood"
    assert seen.peak < died / 2, told
