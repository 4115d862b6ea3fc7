"""When the dispatcher goes over the dead letters: after a change, and one instance for all."""

from __future__ import annotations

from collections.abc import Iterator

import redis as redis_py

from tests.support.engine import script_calls
from tests.support.letters import payloads, seed
from worker.dispatcher.dead_letters import DeadLetterChore, dead_letter_chore
from worker.dispatcher.leader import Leadership
from worker.process.scoreboard import Scoreboard
from worker.settings.load import load


class Counted:
    """A part of the chore that counts its passes; each takes two steps."""

    passes = 0

    def steps(self) -> Iterator[None]:
        yield
        self.passes += 1
        yield


def chore(redis: redis_py.Redis, part: Counted, name: str) -> DeadLetterChore:
    """Return the chore of one instance's dispatcher, with its real eyes and the real lead."""
    settings = load({"WORKER_QUEUES": "high,default"}, need_redis_url=False)
    calls = script_calls(redis)
    made = dead_letter_chore(settings, calls, payloads(), Leadership(calls, name), Scoreboard(1), name)
    made._parts = [part]
    return made


def turn(made: DeadLetterChore) -> None:
    """Run the chore until it has nothing more to do now."""
    made.run()
    while made._pass is not None:
        made.run()


def test_a_pass_is_made_when_something_has_changed_and_only_then(redis: redis_py.Redis) -> None:
    part = Counted()
    made = chore(redis, part, "ann")
    turn(made)
    turn(made)
    assert part.passes == 1, "the first is made whatever there is"
    for change in (
        lambda: seed(redis, 3),
        lambda: redis.zadd("rq:failed:high", {"j": 5}),
        lambda: redis.lpop("rq:queue:dead-letter"),
        lambda: redis.zadd("rq:failed:high", {"j": 6}),
    ):
        change()
        redis.delete("rq:agenda")  # what time does
        turn(made)
        turn(made)
    assert part.passes == 5


def test_one_instance_makes_the_pass_for_all(redis: redis_py.Redis) -> None:
    part = Counted()
    ann, bob = chore(redis, part, "ann"), chore(redis, part, "bob")
    ann.run()
    turn(bob)
    assert part.passes == 0, "Ann is at it"
    turn(ann)
    turn(bob)
    assert part.passes == 1, "it is done for a while"
    redis.delete("rq:agenda", "rq:leader")
    turn(bob)
    assert part.passes == 2, "Bob has seen no pass of his own yet, and nobody leads"
