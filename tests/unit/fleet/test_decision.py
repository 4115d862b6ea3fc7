"""The decision alone: pure, so every rule has its line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fleet.decision import Facts, Policy, Reason, decide

POLICY = Policy(least=1, most=4, step=2, wait=30, idle=300, cooldown=120)
#: Two instances with something to do and nobody waiting for long.
FACTS = Facts(
    instances=2,
    consumers=4,
    oldest_wait=1,
    waiting=3,
    running=4,
    queues_suspended=False,
    idle_for=0,
    since_change=float("inf"),
)
IDLE = replace(FACTS, oldest_wait=0, waiting=0, running=0, idle_for=1000)


@pytest.mark.parametrize(
    ("facts", "wanted", "reason"),
    [
        (FACTS, 2, Reason.ENOUGH),
        (replace(FACTS, oldest_wait=31), 4, Reason.LATE),
        (replace(FACTS, oldest_wait=31, instances=3), 4, Reason.LATE),
        (replace(FACTS, oldest_wait=31, instances=4), 4, Reason.AT_MAXIMUM),
        (replace(FACTS, oldest_wait=31, instances=9), 9, Reason.AT_MAXIMUM),
        (replace(FACTS, oldest_wait=31, since_change=119), 2, Reason.COOLING_DOWN),
        (replace(FACTS, oldest_wait=31, consumers=0), 2, Reason.NO_CONSUMERS),
        (replace(FACTS, oldest_wait=31, queues_suspended=True), 2, Reason.SUSPENDED),
        (replace(FACTS, instances=0, since_change=1), 1, Reason.BELOW_MINIMUM),
        (IDLE, 1, Reason.IDLE),
        (replace(IDLE, instances=5), 3, Reason.IDLE),
        (replace(IDLE, instances=1), 1, Reason.AT_MINIMUM),
        (replace(IDLE, idle_for=299), 2, Reason.NOT_IDLE_LONG_ENOUGH),
        (replace(IDLE, since_change=10), 2, Reason.COOLING_DOWN),
        (replace(IDLE, running=1), 2, Reason.ENOUGH),
        (replace(IDLE, waiting=1), 2, Reason.ENOUGH),
    ],
)
def test_each_rule(facts: Facts, wanted: int, reason: Reason) -> None:
    decision = decide(POLICY, facts)
    assert (decision.wanted, decision.reason) == (wanted, reason)
    assert decision.sentence.endswith((".", "s."))


many = st.integers(0, 120)
seconds = st.floats(0, 10_000)


@given(
    st.builds(
        Facts,
        instances=many,
        consumers=many,
        oldest_wait=seconds,
        waiting=many,
        running=many,
        queues_suspended=st.booleans(),
        idle_for=seconds,
        since_change=seconds,
    ),
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_whatever_is_known(facts: Facts, least: int, more: int, step: int) -> None:
    policy = Policy(least, least + more, step, wait=30, idle=300, cooldown=120)
    decision = decide(policy, facts)
    if decision.wanted > facts.instances:
        assert decision.wanted <= policy.most
        assert decision.wanted - facts.instances <= step or facts.instances < least
    if decision.wanted < facts.instances:
        assert decision.wanted >= least
        assert not facts.waiting
        assert not facts.running
        assert facts.idle_for >= policy.idle
    if decision.changes and facts.instances >= least:
        assert facts.since_change >= policy.cooldown
