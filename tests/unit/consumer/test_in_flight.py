"""Every claim is in exactly one place: begun or given back, by whoever comes first, and never both."""

from __future__ import annotations

import threading

import pytest

from tests.support.engine import finished
from tests.support.waiting import eventually
from worker.consumer.in_flight import Ending, InFlight
from worker.engine.records import Claim


def claims(count: int) -> list[Claim]:
    return [Claim(f"job-{n}", f"w{n:031x}", "default", "default", {}) for n in range(count)]


def test_claims_begin_in_their_order() -> None:
    held, loaded = InFlight(), claims(3)
    held.load(loaded)
    assert held.waiting == loaded
    assert [held.begin() for _ in range(4)] == [*loaded, None]
    assert (held.waiting, held.running, len(held)) == ([], loaded, 3)


def test_a_claim_is_held_in_every_place_it_can_be_in() -> None:
    """What `recover` does not find here it releases, and another consumer runs it."""
    held, loaded = InFlight(), claims(5)
    held.load(loaded)
    done, for_rq, interrupted, _running = (held.begin() for _ in range(4))
    assert done
    assert for_rq
    assert interrupted
    held.finish(finished(done))
    held.finish_with_rq(Ending(None, for_rq, 0.0))
    held.interrupt(interrupted)
    assert held.executions() == {claim.execution_id for claim in loaded}
    assert (len(held.done), len(held.endings), len(held.interrupted), len(held)) == (1, 1, 1, 2)


def test_what_the_server_has_taken_is_forgotten_and_what_it_left_to_rq_is_not() -> None:
    held, loaded = InFlight(), claims(3)
    held.load(loaded)
    for claim in loaded:
        held.begin()
        held.finish(finished(claim))
    sent = held.done
    held.settled(sent[:2], [Ending(None, loaded[1], 0.0)])
    assert [outcome.claim for outcome in held.done] == loaded[2:]
    assert held.executions() == {claim.execution_id for claim in loaded[1:]}
    held.finished_by_rq(held.endings[0])
    held.settled(held.done)
    assert held.empty
    assert held.executions() == frozenset()


@pytest.mark.parametrize("place", ["finish_with_rq", "interrupt"])
def test_an_outcome_takes_a_claim_out_of_any_other_place(place: str) -> None:
    """A job that RQ's code cannot finish, or that stops have interrupted too often, is buried after all."""
    held, (claim,) = InFlight(), claims(1)
    held.load([claim])
    held.begin()
    getattr(held, place)(Ending(None, claim, 0.0) if place == "finish_with_rq" else claim)
    held.finish(finished(claim))
    assert (held.endings, held.interrupted, len(held.done)) == ([], [], 1)


def test_what_has_not_begun_can_be_given_back() -> None:
    held, loaded = InFlight(), claims(3)
    held.load(loaded)
    held.begin()
    with held.giving_back() as given:
        assert given == loaded[1:]
    assert held.begin() is None
    assert held.executions() == {loaded[0].execution_id}


def test_what_could_not_be_given_back_is_not_run_here() -> None:
    """The server may have put it back before the reply got lost: another consumer may run it."""
    held = InFlight()
    held.load(claims(2))
    with pytest.raises(ConnectionError), held.giving_back():
        raise ConnectionError
    assert held.begin() is None
    assert held.empty


def test_beginning_waits_while_claims_are_given_back() -> None:
    """Otherwise a job could begin here after it was released, while another consumer runs it."""
    held = InFlight()
    held.load(claims(2))
    got: list[Claim | None] = []
    main = threading.Thread(target=lambda: got.append(held.begin()))
    with held.giving_back():
        main.start()
        main.join(timeout=0.1)
        assert got == [], "it waits for the lock"
    main.join(timeout=60)
    assert got == [None]


def test_loading_waits_too() -> None:
    """What came between the look and the emptying would be in nobody's hands, and claimed in Redis for ever."""
    held = InFlight()
    loader = threading.Thread(target=lambda: held.load(claims(2)))
    with held.giving_back():
        loader.start()
        loader.join(timeout=0.1)
        assert len(held) == 0
    loader.join(timeout=60)
    assert len(held) == 2


def test_nobody_gets_a_claim_twice_and_none_is_lost() -> None:
    held, loaded = InFlight(), claims(5000)
    begun: list[Claim] = []
    given: list[Claim] = []
    done = threading.Event()

    def housekeeper() -> None:
        while not done.is_set():
            with held.giving_back() as claims:
                given.extend(claims)

    thread = threading.Thread(target=housekeeper)
    thread.start()
    try:
        for at in range(0, 5000, 10):
            held.load(loaded[at : at + 10])
            while (claim := held.begin()) is not None:
                begun.append(claim)
        eventually(lambda: len(begun) + len(given) == 5000)
    finally:
        done.set()
        thread.join()
    assert {claim.job_id for claim in (*begun, *given)} == {claim.job_id for claim in loaded}
