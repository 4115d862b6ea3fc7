from __future__ import annotations

from worker.fleet.history import GAP_SECONDS, MOST_SAMPLES, History
from worker.fleet.state import ConsumerState, Fleet, QueueState


def fleet(waiting: int = 0, **done: tuple[int, int]) -> Fleet:
    queue = QueueState("default", waiting, 1, 0, 0, 0, 3.0 if waiting else None, len(done))
    consumers = tuple(
        ConsumerState(name, "idle", ("default",), "", 1, 0.0, (), *counts, "", None, None, "", "")
        for name, counts in done.items()
    )
    return Fleet(False, (queue,), consumers, {}, "dead-letter", 2)


def test_the_pace_is_what_the_consumers_of_both_looks_did() -> None:
    history = History()
    history.add(100.0, fleet(5, a=(10, 1), gone=(99, 9)))
    history.add(110.0, fleet(6, a=(15, 2), new=(500, 0)))
    history.add(120.0, fleet(0, a=(0, 0), new=(501, 0)))
    first, second, third = history.since(0.0)
    assert (first.done, first.failed, first.waiting, first.oldest_wait) == (None, None, 5, 3.0)
    assert (second.done, second.failed) == (30.0, 6.0)
    assert (third.done, third.failed, third.oldest_wait) == (6.0, 0.0, 0.0), (
        "a counter that begins anew took nothing back"
    )
    assert history.since(110.0) == [second, third]


def test_after_a_gap_the_pace_is_unknown_and_old_samples_go() -> None:
    history = History()
    history.add(0.0, fleet(a=(1, 0)))
    history.add(GAP_SECONDS + 1, fleet(a=(99, 0)))
    assert history.since(1.0)[0].done is None
    for moment in range(MOST_SAMPLES + 10):
        history.add(100.0 + moment, fleet(a=(1, 0)))
    assert len(history.since(0.0)) == MOST_SAMPLES
