"""The lead: one instance at a time, handed over, and refused to whoever has lost it."""

from __future__ import annotations

from time import monotonic

import pytest
import redis as redis_py
from structlog.testing import capture_logs

from tests.support.engine import script_calls
from tests.support.waiting import eventually
from worker.dispatcher.leader import Lead, LeaderOnly, Leadership, NotLeader
from worker.redis import scripts


def leadership(redis: redis_py.Redis, name: str) -> Leadership:
    return Leadership(script_calls(redis), name)


def led(answer: Lead | float) -> Lead:
    assert isinstance(answer, Lead)
    return answer


def lapse(redis: redis_py.Redis) -> None:
    """Let the lead end as it does when its holder is silent for too long."""
    redis.pexpire("rq:leader", 1)
    eventually(lambda: not redis.exists("rq:leader"))


class Sweep:
    """A chore of the leader that counts."""

    name = "sweep"

    def __init__(self, wait: float = 60.0) -> None:
        self.wait = wait
        self.runs = 0

    def run(self, lead: Lead) -> float:
        self.runs += 1
        return self.wait


def test_one_leads_and_the_others_are_told_how_long_to_wait(redis: redis_py.Redis) -> None:
    lead = led(leadership(redis, "ann").take("sweep"))
    seconds, micros = redis.time()
    assert abs(lead.server_time - (seconds + micros / 1e6)) < 60
    wait = leadership(redis, "bob").take("sweep")
    assert isinstance(wait, float)
    assert 5 < wait <= 20


def test_the_lead_lapses_with_its_silent_holder_and_goes_to_who_asks(redis: redis_py.Redis) -> None:
    first = led(leadership(redis, "ann").take("sweep"))
    assert 0 < redis.ttl("rq:leader") <= 20, "the bound of every takeover"
    lapse(redis)
    second = led(leadership(redis, "bob").take("sweep"))
    assert int(second.token) > int(first.token)


def test_an_election_is_news_only_when_the_lead_changes_hands(redis: redis_py.Redis) -> None:
    ann, bob = leadership(redis, "ann"), leadership(redis, "bob")
    with capture_logs() as told:
        for instance in (ann, ann, bob, ann, ann):
            led(instance.take("sweep"))
            lapse(redis)
    elected = [event["leader"].partition("#")[0] for event in told if event["event"] == "leader.elected"]
    assert elected == ["ann", "bob", "ann"]


def test_who_stops_hands_the_lead_over_at_once(redis: redis_py.Redis) -> None:
    ann, bob = leadership(redis, "ann"), leadership(redis, "bob")
    led(ann.take("sweep"))
    bob.resign()
    assert redis.exists("rq:leader"), "only the leader can"
    ann.resign()
    led(bob.take("sweep"))


def test_a_leader_that_was_paused_is_refused_while_another_leads_and_after(redis: redis_py.Redis) -> None:
    ann, bob = leadership(redis, "ann"), leadership(redis, "bob")
    old = led(ann.take("sweep"))
    lapse(redis)
    led(bob.take("sweep"))
    with pytest.raises(NotLeader):
        ann.done(old, "sweep", 60)
    lapse(redis)
    with pytest.raises(NotLeader):
        ann.done(old, "sweep", 60)
    with pytest.raises(NotLeader):
        ann.act(old, scripts.CRON, "entry", "", "1")
    assert not redis.exists("rq:agenda", "rq:cron-runs")
    fresh = led(ann.take("sweep"))
    assert fresh.token != old.token


def test_a_successor_with_the_same_name_is_another_leader(redis: redis_py.Redis) -> None:
    led(leadership(redis, "ann").take("sweep"))
    assert isinstance(leadership(redis, "ann").take("sweep"), float)


def test_a_chore_is_done_once_in_the_fleet_and_again_when_it_is_due(redis: redis_py.Redis) -> None:
    chores = [Sweep() for _ in range(3)]
    for index, chore in enumerate(chores):
        LeaderOnly(leadership(redis, f"instance-{index}"), chore).run()
        lapse(redis) if redis.exists("rq:leader") else None
    assert [chore.runs for chore in chores] == [1, 0, 0]
    redis.hset("rq:agenda", "sweep", 0)
    LeaderOnly(leadership(redis, "late"), chores[2]).run()
    assert chores[2].runs == 1


def test_a_leader_that_died_over_a_chore_leaves_it_to_the_next(redis: redis_py.Redis) -> None:
    led(leadership(redis, "ann").take("sweep"))  # and dies here
    lapse(redis)
    chore = Sweep()
    LeaderOnly(leadership(redis, "bob"), chore).run()
    assert chore.runs == 1


def test_chores_of_old_releases_leave_the_agenda(redis: redis_py.Redis) -> None:
    redis.hset("rq:agenda", "cron:of-last-year", 1_700_000_000)
    LeaderOnly(leadership(redis, "ann"), Sweep()).run()
    assert set(redis.hkeys("rq:agenda")) == {b"sweep", b"sweep|noted"}


# -- a server's clock that was set back: what it wrote before is of a time to come -------------------------------------


def test_a_lead_of_before_the_clock_was_set_back_lapses_like_any_other(redis: redis_py.Redis) -> None:
    led(leadership(redis, "ann").take("sweep"))
    redis.expire("rq:leader", 3620)
    wait = leadership(redis, "bob").take("sweep")
    assert isinstance(wait, float)
    assert wait <= 20
    assert 0 < redis.ttl("rq:leader") <= 20


def test_an_agenda_of_before_the_clock_was_set_back_silences_no_chore(redis: redis_py.Redis) -> None:
    LeaderOnly(leadership(redis, "ann"), Sweep()).run()
    redis.delete("rq:leader")
    assert isinstance(leadership(redis, "bob").take("sweep"), float), "it is not due"
    for field in ("sweep", "sweep|noted"):
        redis.hset("rq:agenda", field, float(redis.hget("rq:agenda", field) or 0) + 3600)
    led(leadership(redis, "bob").take("sweep"))


def test_a_chore_of_the_leader_is_looked_at_when_the_servers_clock_has_stepped(redis: redis_py.Redis) -> None:
    lead = leadership(redis, "ann")
    chore = LeaderOnly(lead, Sweep(3600.0))
    chore.run()
    assert chore.due > monotonic() + 3000
    lead.clock.hear(lead.clock.now() + 3600, monotonic())
    assert chore.due < monotonic()
