"""The dispatcher's chores in the real process tree, while processes die, stop and lose their clocks."""

from __future__ import annotations

import time
from pathlib import Path

import redis as redis_py
from rq import Queue, Repeat
from rq.suspension import resume, suspend

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until


def calls(redis: redis_py.Redis, command: str) -> int:
    """How often the server has run a command, inside scripts or not."""
    return int(redis.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_jobs_in_threads_are_kept_alive_while_their_consumer_waits_for_more(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS="4") as service:
        job = Queue("default", connection=redis).enqueue(tasks.nap_in_steps, 60)
        until(lambda: job.get_status() == "started", service=service)
        claimed_at = redis.hget(job.key, "last_heartbeat")
        until(lambda: redis.hget(job.key, "last_heartbeat") != claimed_at, 15, service=service)
        assert redis.ttl(f"rq:worker:{job.worker_name or redis.hget(job.key, 'worker_name').decode()}") > 20


def times(journal: Path) -> list[float]:
    """When each line of the journal was written (Unix time)."""
    return [float(line.split()[-1]) for line in journal.read_text().splitlines()] if journal.exists() else []


def test_our_own_retries_and_repeats_run_in_time_without_anybody_looking(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """RQ's scores are whole seconds, rounded up, so a job may be a second late on top of that."""
    with Service(server.url, WORKER_SCHEDULER_INTERVAL="0") as service:
        queue = Queue("default", connection=redis)
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        queue.enqueue(tasks.journal_twice, str(tmp_path / "policy"), 2.0)
        queue.enqueue(tasks.journal, str(tmp_path / "repeat"), repeat=Repeat(times=1, interval=2))
        for name in ("policy", "repeat"):
            until(lambda name=name: len(times(tmp_path / name)) == 2, 6, what=name, service=service)
            first, second = times(tmp_path / name)
            assert 1.0 < second - first < 5.0, name
        looks = calls(redis, "zrangebyscore")
        time.sleep(3)  # nothing is due: nobody looks
        assert calls(redis, "zrangebyscore") == looks


def test_a_suspended_queue_with_jobs_does_not_spin_and_a_resume_is_obeyed_within_two_seconds(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    with Service(server.url) as service:
        until(lambda: redis.scard("rq:workers") == 2, service=service)
        suspend(redis)
        job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
        until(lambda: calls(redis, "blmove") > 8, service=service)  # the waits double up to a second
        before = calls(redis, "blmove")
        time.sleep(3)  # the span of the count
        assert calls(redis, "blmove") - before <= 4
        assert job.get_status() == "queued"
        resume(redis)
        until(lambda: job.get_status() == "finished", 2, service=service)
