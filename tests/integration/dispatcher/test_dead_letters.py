"""When the dispatcher goes over the dead letters: after a change, and one instance for all."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import script_calls
from tests.support.letters import payloads, seed
from tests.support.server import RedisServer
from tests.support.service import Service, until
from worker.dispatcher.dead_letters import PRESSING_SECONDS, DeadLetterChore, dead_letter_chores
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


def chore(redis: redis_py.Redis, part: Counted, name: str, board: Scoreboard | None = None) -> DeadLetterChore:
    """Return the chore of one instance's dispatcher, with its real eyes and the real lead."""
    settings = load({"WORKER_QUEUES": "high,default"}, need_redis_url=False)
    calls = script_calls(redis)
    made, _ = dead_letter_chores(settings, calls, payloads(), Leadership(calls, name), board or Scoreboard(1), name)
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


def test_where_jobs_fail_fast_passes_follow_each_other_at_once_whoever_leads_and_whatever_was_done_just_now(
    redis: redis_py.Redis,
) -> None:
    part, board = Counted(), Scoreboard(1)
    ann, bob = chore(redis, part, "ann", board), chore(redis, part, "bob")
    turn(ann)
    redis.delete("rq:leader")
    bob.run()
    for round_ in (2, 3, 4):
        assert ann.due - monotonic() > PRESSING_SECONDS, "nothing more has failed"
        seed(redis, 1500, first=round_ * 10_000)
        board.consumers[0].buried += 1500
        assert ann.due - monotonic() <= PRESSING_SECONDS
        turn(ann)
        assert part.passes == round_


def test_what_is_beyond_the_bound_goes_a_second_after_it_was_buried_here_and_nothing_is_asked_before(
    redis: redis_py.Redis,
) -> None:
    board = Scoreboard(1)
    settings = load({"WORKER_QUEUES": "high,default", "DEAD_LETTER_MAX_JOBS": "1000"}, need_redis_url=False)
    calls = script_calls(redis)
    _, bound = dead_letter_chores(settings, calls, payloads(), Leadership(calls, "ann"), board, "ann")
    assert bound.due == float("inf")
    seed(redis, 2100)
    board.consumers[0].buried += 2100
    assert bound.due < monotonic()
    runs = 0
    while bound.due < monotonic():
        bound.run()
        runs += 1
    assert redis.llen("rq:queue:dead-letter") == 1000
    assert redis.zcard("rq:failed:high") + redis.zcard("rq:failed:default") == 1000
    assert runs == 4, "a page each, so that other chores run between, and a look that finds nothing more"
    board.consumers[0].buried += 1
    assert 0 < bound.due - monotonic() <= PRESSING_SECONDS


@pytest.mark.slow  # half a minute of load
def test_the_bound_holds_within_seconds_while_jobs_fail_as_fast_as_they_can(
    server: RedisServer, redis: redis_py.Redis, queue: Queue
) -> None:
    most, processed, excess = 500, 0, [0]
    environ = {"WORKER_QUEUES": "default", "DEAD_LETTER_MAX_JOBS": str(most), "LOG_LEVEL": "CRITICAL"}
    with Service(server.url, **environ) as service:
        while processed < 10 * most:
            if queue.count < 1000:
                queue.enqueue_many([Queue.prepare_data(tasks.boom) for _ in range(500)])
                processed += 500
            excess.append(int(redis.llen("rq:queue:dead-letter")) - most)
        until(lambda: redis.llen("rq:queue:dead-letter") < 2 * most, service=service)
    assert max(excess) < 5 * most, "without a bound it is nearly ten times as much"
