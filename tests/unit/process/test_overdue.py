"""Who must be killed, and who must not yet."""

from __future__ import annotations

import pytest

from worker.process import overdue
from worker.process.scoreboard import Scoreboard
from worker.process.slot import MOST_ORDERS, Order, Slot, State

SPAWNED = 1000.0


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(max_consumers=1)


@pytest.fixture
def consumer(board: Scoreboard) -> Slot:
    slot = board.consumers[0]
    slot.pid, slot.spawned_at, slot.heartbeat, slot.state = 101, SPAWNED, SPAWNED, State.WAITING
    return slot


def run_job(slot: Slot, *, since: float, timeout: float = 0.0) -> None:
    slot.state, slot.job_id, slot.execution_id = State.BUSY, b"job", b"execution"
    slot.job_started_at, slot.job_deadline = since, since + timeout if timeout else 0.0


def test_a_loop_may_stand_still_for_a_while_and_no_longer(board: Scoreboard, consumer: Slot) -> None:
    assert overdue.reason(consumer, board.header, SPAWNED + overdue.STALL_SECONDS) is None
    assert overdue.reason(consumer, board.header, SPAWNED + overdue.STALL_SECONDS + 0.1) == "stalled"


def test_a_job_without_a_timeout_may_run_for_ever(board: Scoreboard, consumer: Slot) -> None:
    run_job(consumer, since=SPAWNED)
    assert overdue.reason(consumer, board.header, SPAWNED + 1e6) is None


def test_a_job_gets_a_grace_after_its_timeout(board: Scoreboard, consumer: Slot) -> None:
    run_job(consumer, since=SPAWNED, timeout=30)
    over = SPAWNED + 30 + overdue.TIMEOUT_GRACE_SECONDS
    assert overdue.reason(consumer, board.header, over - 0.1) is None
    assert overdue.reason(consumer, board.header, over) == "timeout"


def test_the_deadline_of_a_predecessors_job_is_nobodys(board: Scoreboard, consumer: Slot) -> None:
    run_job(consumer, since=SPAWNED - 100, timeout=30)
    assert overdue.reason(consumer, board.header, SPAWNED + 10) is None


def test_a_callback_beside_the_job_is_seen_too(board: Scoreboard, consumer: Slot) -> None:
    consumer.beside_count = 2
    assert not consumer.busy
    consumer.runs[2].begin("other", "callback", SPAWNED, SPAWNED + 300)
    assert consumer.busy, "it holds a claim, which must be kept alive"
    assert [run.execution_id for run in consumer.running()] == [b"callback"]
    run_job(consumer, since=SPAWNED)
    assert [run.execution_id for run in consumer.running()] == [b"execution", b"callback"]
    over = SPAWNED + 300 + overdue.TIMEOUT_GRACE_SECONDS
    assert overdue.reason(consumer, board.header, over - 0.1) is None
    assert overdue.reason(consumer, board.header, over) == "timeout"


def order(slot: Slot, kind: Order, job_id: str, execution_id: str = "", *, at: float) -> None:
    slot.give_order(kind, job_id, execution_id)
    newest = slot.orders[(slot.orders_given - 1) % MOST_ORDERS]
    newest.given_at = slot.order_at = at


@pytest.mark.parametrize(("job", "reason"), [("job", "ordered"), ("", "ordered"), ("another", None)])
def test_only_the_job_that_was_told_to_end_must(
    board: Scoreboard, consumer: Slot, job: str, reason: str | None
) -> None:
    run_job(consumer, since=SPAWNED)
    order(consumer, Order.STOP, job, at=SPAWNED + 1)
    late = SPAWNED + 1 + overdue.TIMEOUT_GRACE_SECONDS
    assert overdue.reason(consumer, board.header, late) is None
    assert overdue.reason(consumer, board.header, late + 0.1) == reason


def test_an_idle_consumer_that_does_not_hear_is_deaf_until_it_claims(board: Scoreboard, consumer: Slot) -> None:
    consumer.unanswered_since = SPAWNED + 1
    now = SPAWNED + 1.1 + overdue.DEAF_SECONDS
    assert overdue.reason(consumer, board.header, now) == "deaf"
    consumer.claimed_at = SPAWNED + 2
    assert overdue.reason(consumer, board.header, now) is None


def test_in_a_stop_only_its_end_counts_for_consumers(board: Scoreboard, consumer: Slot) -> None:
    run_job(consumer, since=SPAWNED, timeout=1)
    board.header.stopping, board.header.deadline = 1, SPAWNED + 100
    end = SPAWNED + 100 + overdue.HARD_STOP_SECONDS
    assert overdue.reason(consumer, board.header, end - 0.1) is None
    assert overdue.reason(consumer, board.header, end) == overdue.SHUTDOWN


def test_in_a_stop_the_dispatcher_may_still_stall(board: Scoreboard) -> None:
    slot = board.dispatcher
    slot.pid, slot.spawned_at, slot.heartbeat, slot.state = 102, SPAWNED, SPAWNED, State.SERVING
    board.header.stopping, board.header.deadline = 2, SPAWNED
    assert overdue.reason(slot, board.header, SPAWNED + overdue.HARD_STOP_SECONDS) is None
    assert overdue.reason(slot, board.header, SPAWNED + overdue.STALL_SECONDS + 0.1) == "stalled"
