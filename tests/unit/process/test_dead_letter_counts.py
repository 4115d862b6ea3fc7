"""The board of the dead letters' counts: the most frequent kinds, and whether they are still true."""

from __future__ import annotations

import time

from worker.process.dead_letter_counts import MAX_KINDS, STALE_SECONDS
from worker.process.scoreboard import Scoreboard


def test_the_board_holds_the_most_frequent_kinds_and_knows_when_it_is_stale() -> None:
    board = Scoreboard(1).dead_letters
    now = time.monotonic()
    board.confirm(now)
    assert not board.fresh(now), "it never counted"
    kinds = {(f"queue-{number}", "failed"): number + 1 for number in range(MAX_KINDS + 10)}
    board.write({**kinds, ("gone", "failed"): 0}, 5.0, now)
    counts = list(board.counts())
    assert len(counts) == MAX_KINDS
    assert sum(count for _, _, count in counts) == sum(kinds.values())
    assert counts[0] == (f"queue-{MAX_KINDS + 9}", "failed", MAX_KINDS + 10)
    assert counts[-1][:2] == ("other", "other")
    assert board.fresh(now)
    assert not board.fresh(now + STALE_SECONDS + 1)
    board.confirm(now + STALE_SECONDS)
    assert board.fresh(now + STALE_SECONDS + 1), "nothing has changed since"
    board.write({}, None, now)
    assert list(board.counts()) == []
    assert board.oldest_at == 0.0
