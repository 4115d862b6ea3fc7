"""RQ's dequeue strategies."""

from __future__ import annotations

import pytest
from rq.worker import DequeueStrategy

from worker.engine.claims import reordered

QUEUES = ("high", "default", "low")


@pytest.mark.parametrize(
    ("served", "order"),
    [
        ("high", ("default", "low", "high")),
        ("default", ("low", "high", "default")),
        ("low", ("high", "default", "low")),
    ],
)
def test_round_robin_puts_the_queue_that_was_served_last(served: str, order: tuple[str, ...]) -> None:
    assert reordered(QUEUES, served, DequeueStrategy.ROUND_ROBIN) == order


def test_random_gives_every_order_a_chance_and_loses_no_queue() -> None:
    orders = {reordered(QUEUES, "high", DequeueStrategy.RANDOM) for _ in range(500)}
    assert len(orders) == 6
    assert all(sorted(order) == sorted(QUEUES) for order in orders)


def test_the_default_keeps_the_order() -> None:
    assert reordered(QUEUES, "low", DequeueStrategy.DEFAULT) == QUEUES
