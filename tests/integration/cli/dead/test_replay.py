"""Replaying a dead letter is what `rq requeue` does, in one step, and once however many do it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Retry
from rq.job import Job
from rq.rate_limit import RateLimit
from rq.registry import FailedJobRegistry

from tests.support import tasks
from tests.support.commands import run
from tests.support.letters import bury
from tests.support.server import RedisServer
from tests.support.worker import consumer

#: Differ between any two jobs; `exc_info` is RQ's own leftover of an older release.
_OF_THE_MOMENT = {
    b"created_at",
    b"enqueued_at",
    b"last_heartbeat",
    b"worker_name",
    b"dead_letter",
    b"buried_at",
    b"first_failed_at",
    b"past",  # tells the claim that a replay of ours has taken the id off the dead-letter queue
    b"meta",
    b"exc_info",
}


@pytest.mark.parametrize("options", [{}, {"ttl": 300}, {"retry": Retry(max=1)}, {"description": "text"}])
def test_it_leaves_what_rq_requeue_leaves(server: RedisServer, redis: redis_py.Redis, options: dict[str, Any]) -> None:
    by_rq, by_us = bury(redis, **options), bury(redis, **options)
    queue = Queue("default", connection=redis)
    FailedJobRegistry(queue=queue).requeue(by_rq.id)
    assert run("dead", "replay", by_us.id, url=server.url).returncode == 0

    def facts(job: Job) -> dict[bytes, bytes]:
        return {name: value for name, value in redis.hgetall(job.key).items() if name not in _OF_THE_MOMENT}

    assert facts(by_us) == facts(by_rq)
    assert queue.job_ids == [by_rq.id, by_us.id]
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []
    # RQ lets the failure's expiry run on, so that a job can vanish from its queue; only the job's own ttl may do that.
    assert redis.ttl(by_us.key) == pytest.approx(options.get("ttl", -1), abs=0 if "ttl" not in options else 60)


def test_the_record_stays_until_the_job_is_claimed(server: RedisServer, redis: redis_py.Redis) -> None:
    job = bury(redis)
    run("dead", "replay", job.id, url=server.url)
    assert redis.hexists(job.key, "dead_letter")
    consumer(redis).work(burst=True)
    assert len(job.results()) == 2, "the first failure stays in its history"
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()]


def test_a_rate_limited_job_waits_for_a_place(server: RedisServer, redis: redis_py.Redis) -> None:
    jobs = [bury(redis, rate_limit=RateLimit("shop", 1)) for _ in range(2)]
    assert run("dead", "replay", *(job.id for job in jobs), url=server.url).stdout == "2 replayed.\n"
    assert [job.get_status() for job in jobs] == ["queued", "rate_limited"]
    assert Queue("default", connection=redis).job_ids == [jobs[0].id]
    consumer(redis).work(burst=True)
    assert [len(job.results()) for job in jobs] == [2, 2], "whoever frees the slot moves the next one on"


def test_two_terminals_replay_each_letter_once(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    ids = {queue.enqueue(tasks.boom).id for _ in range(150)}
    consumer(redis).work(burst=True)
    with ThreadPoolExecutor(3) as terminals:
        told = list(terminals.map(lambda _: run("dead", "replay", "--all", url=server.url), range(3)))
    assert [one.returncode for one in told] == [0, 0, 0], [one.stderr for one in told]
    assert sum(int(one.stdout.split()[0]) for one in told) == len(ids)
    assert len(queue.job_ids) == len(ids)
    assert set(queue.job_ids) == ids


def test_what_is_no_dead_letter_is_left_alone(server: RedisServer, redis: redis_py.Redis) -> None:
    waits = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
    redis.rpush("rq:queue:dead-letter", waits.id)  # left over: somebody has requeued it in two steps
    told = run("dead", "replay", waits.id, url=server.url)
    assert (told.returncode, Queue("default", connection=redis).job_ids) == (1, [waits.id]), "it would run twice"

    taken = bury(redis)
    redis.zrem("rq:failed:default", taken.id)
    redis.lrem("rq:queue:dead-letter", 0, taken.id)
    told = run("dead", "replay", taken.id, url=server.url)
    assert (told.returncode, taken.get_status()) == (1, "failed"), "somebody else has it in hand"


def test_a_letter_whose_job_was_deleted_leaves_the_queue(server: RedisServer, redis: redis_py.Redis) -> None:
    job = bury(redis)
    redis.delete(job.key)
    told = run("dead", "replay", job.id, url=server.url)
    assert told.returncode == 1
    assert "no dead letter any more" in told.stderr
    assert redis.llen("rq:queue:dead-letter") == 0
