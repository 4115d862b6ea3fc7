"""RQ's own means on dead letters: its command line, its registries, its methods. Both sides stay consistent."""

from __future__ import annotations

import redis as redis_py
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry

from tests.support import tasks
from tests.support.commands import rq, run
from tests.support.letters import LETTERS, bury, collect, ids, keep_up, record
from tests.support.server import RedisServer
from tests.support.worker import consumer


def failed(redis: redis_py.Redis, queue: str = "default") -> list[str]:
    return [job_id.decode() for job_id in redis.zrange(f"rq:failed:{queue}", 0, -1)]


def upkeep(redis: redis_py.Redis) -> None:
    """Do what the dispatcher does every half a minute."""
    collect(redis)
    keep_up(redis)


def test_rq_info_counts_them(server: RedisServer, redis: redis_py.Redis) -> None:
    for _ in range(3):
        bury(redis)
    assert "dead-letter" in rq("info", "--raw", url=server.url).stdout
    counted = rq("info", "--raw", "--only-queues", url=server.url).stdout
    assert "queue dead-letter 3" in counted
    assert len(ids(redis)) == 3, "counting changed nothing"


def test_rq_requeue_of_ids(server: RedisServer, redis: redis_py.Redis) -> None:
    one, two, kept = bury(redis), bury(redis), bury(redis, tasks.give_up)
    rq("requeue", "--queue", "default", one.id, two.id, url=server.url)
    assert Queue("default", connection=redis).job_ids == [one.id, two.id]
    assert failed(redis) == [kept.id]
    consumer(redis).work(burst=True)
    assert ids(redis) == [kept.id, one.id, two.id]
    assert sorted(failed(redis)) == sorted(ids(redis))
    assert [len(record(redis, job.id)["history"]) for job in (one, two, kept)] == [1, 1, 0]


def test_rq_requeue_all(server: RedisServer, redis: redis_py.Redis) -> None:
    jobs = [bury(redis) for _ in range(3)]
    for job in jobs:
        redis.hset(job.key, "data", Job.create(tasks.add, (1, 1), connection=redis).to_dict()["data"])
    rq("requeue", "--queue", "default", "--all", url=server.url)
    consumer(redis).work(burst=True)
    assert ids(redis) == failed(redis) == []
    assert [job.get_status() for job in jobs] == ["finished"] * 3


def test_ours_and_rqs_replay_at_once_run_a_job_once(server: RedisServer, redis: redis_py.Redis) -> None:
    job = bury(redis)
    rq("requeue", "--queue", "default", "--all", url=server.url)
    told = run("dead", "replay", job.id, url=server.url)
    assert told.returncode == 1
    assert "no dead letter any more" in told.stderr
    assert Queue("default", connection=redis).job_ids == [job.id]


def test_rq_empty_deletes_the_jobs_and_the_registry_is_cleaned(server: RedisServer, redis: redis_py.Redis) -> None:
    for _ in range(3):
        bury(redis)
    rq("empty", "dead-letter", url=server.url)
    assert redis.keys("rq:job:*") == []
    assert len(failed(redis)) == 3, "RQ leaves them there, and its requeue --all would stumble over them"
    upkeep(redis)
    assert failed(redis) == []
    job = bury(redis)
    rq("requeue", "--queue", "default", "--all", url=server.url)
    assert Queue("default", connection=redis).job_ids == [job.id]


def test_job_delete(server: RedisServer, redis: redis_py.Redis) -> None:
    job, kept = bury(redis), bury(redis)
    job.delete()
    upkeep(redis)
    assert ids(redis) == failed(redis) == [kept.id]
    assert "1 of 1 shown" in run("dead", "list", url=server.url).stdout


def test_job_requeue_and_the_registrys(redis: redis_py.Redis) -> None:
    one, two = bury(redis), bury(redis)
    Job.fetch(one.id, connection=redis).requeue(at_front=True)
    FailedJobRegistry("default", connection=redis).requeue(two.id)
    upkeep(redis)
    assert ids(redis) == failed(redis) == []
    assert redis.hexists(one.key, "dead_letter"), "its record stays until it is claimed"
    consumer(redis).work(burst=True)
    assert ids(redis) == [one.id, two.id]
    assert [record(redis, job_id)["attempts"] for job_id in ids(redis)] == [1, 1]


def test_registry_remove_with_the_job(redis: redis_py.Redis) -> None:
    job = bury(redis)
    FailedJobRegistry("default", connection=redis).remove(job, delete_job=True)
    upkeep(redis)
    assert ids(redis) == failed(redis) == []


def test_a_letter_that_expired_leaves_both(redis: redis_py.Redis) -> None:
    job = bury(redis, failure_ttl=1000)
    redis.delete(job.key, f"rq:results:{job.id}")  # what Redis does when the time has come
    upkeep(redis)
    assert ids(redis) == failed(redis) == []


def test_deleting_the_queue_of_ids_alone_loses_no_job(redis: redis_py.Redis) -> None:
    """`Queue("dead-letter").delete(delete_jobs=False)`: the jobs are still failed jobs, and replay as such."""
    job = bury(redis)
    redis.delete(LETTERS)
    FailedJobRegistry("default", connection=redis).requeue(job.id)
    consumer(redis).work(burst=True)
    assert ids(redis) == [job.id]
