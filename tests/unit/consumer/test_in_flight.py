"""A claim is begun or given away, by whoever comes first, and never both."""

from __future__ import annotations

import threading

from tests.support.waiting import eventually
from worker.consumer.in_flight import Batch
from worker.engine.records import Claim


def claims(count: int) -> list[Claim]:
    return [Claim(f"job-{n}", f"w{n:031x}", "default", "default", {}) for n in range(count)]


def test_claims_are_taken_in_their_order() -> None:
    batch, loaded = Batch(), claims(3)
    batch.load(loaded)
    assert len(batch) == 3
    assert [batch.take() for _ in range(4)] == [*loaded, None]
    assert len(batch) == 0


def test_looking_takes_nothing() -> None:
    batch, loaded = Batch(), claims(2)
    batch.load(loaded)
    assert batch.all() == loaded
    assert len(batch) == 2


def test_all_that_has_not_begun_can_be_given_away() -> None:
    batch, loaded = Batch(), claims(3)
    batch.load(loaded)
    batch.take()
    with batch.lock:
        assert batch.take_all() == loaded[1:]
    assert batch.take() is None


def test_taking_waits_while_the_rest_is_given_away() -> None:
    """Otherwise a job could begin here after it was released, while another consumer runs it."""
    batch = Batch()
    batch.load(claims(2))
    got: list[Claim | None] = []
    main = threading.Thread(target=lambda: got.append(batch.take()))
    with batch.lock:
        main.start()
        main.join(timeout=0.1)
        assert got == [], "it waits for the lock"
        batch.take_all()
    main.join(timeout=60)
    assert got == [None]


def test_loading_waits_too() -> None:
    """What came between the look and the emptying would be in nobody's hands, and claimed in Redis for ever."""
    batch = Batch()
    loader = threading.Thread(target=lambda: batch.load(claims(2)))
    with batch.lock:
        loader.start()
        loader.join(timeout=0.1)
        assert len(batch) == 0
        batch.take_all()
    loader.join(timeout=60)
    assert len(batch) == 2


def test_nobody_gets_a_claim_twice_and_none_is_lost() -> None:
    batch, loaded = Batch(), claims(5000)
    begun: list[Claim] = []
    given: list[Claim] = []
    done = threading.Event()

    def minder() -> None:
        while not done.is_set():
            with batch.lock:
                given.extend(batch.take_all())

    thread = threading.Thread(target=minder)
    thread.start()
    try:
        for at in range(0, 5000, 10):
            batch.load(loaded[at : at + 10])
            while (claim := batch.take()) is not None:
                begun.append(claim)
        eventually(lambda: len(begun) + len(given) == 5000)
    finally:
        done.set()
        thread.join()
    assert {claim.job_id for claim in (*begun, *given)} == {claim.job_id for claim in loaded}
