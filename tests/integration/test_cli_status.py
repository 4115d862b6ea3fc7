"""`python -m worker status`: the fleet at a glance, without touching it."""

from __future__ import annotations

import json
from typing import Any

import redis as redis_py
from rq import Queue

from tests.integration.test_cli import run
from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.worker import consumer


def status(url: str, **environ: str) -> dict[str, Any]:
    told = run("status", "--json", url=url, **environ)
    assert told.returncode == 0, told.stderr
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def queue_of(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(queue for queue in answer["queues"] if queue["name"] == name)


def test_it_counts_jobs_and_dead_letters(server: RedisServer, redis: redis_py.Redis) -> None:
    Queue("default", connection=redis).enqueue(tasks.boom)
    consumer(redis).work(burst=True)
    for _ in range(3):
        Queue("low", connection=redis).enqueue(tasks.add, 1, 2)
    answer = status(server.url)
    assert answer["dead_letters"] == 1
    assert "dead-letter" not in [queue["name"] for queue in answer["queues"]], "it is no queue to work on"
    assert queue_of(answer, "default")["failed"] == 1
    low = queue_of(answer, "low")
    assert (low["waiting"], low["running"], low["consumers"]) == (3, 0, 0)
    assert 0 <= low["next_waits"] < 30
    assert answer["attention"] == ["3 jobs wait on 'low' and no consumer reads it."]


def test_it_shows_the_consumers_of_the_fleet_and_what_they_run(server: RedisServer, redis: redis_py.Redis) -> None:
    with Service(server.url) as service:
        jobs = [Queue("default", connection=redis).enqueue(tasks.sleep, 30) for _ in range(3)]
        until(lambda: [job.get_status() for job in jobs].count("started") == 2, service=service)
        running = [job for job in jobs if job.get_status() == "started"]
        answer = status(server.url)
        consumers = answer["consumers"]
        assert sorted(one["jobs"] for one in consumers) == sorted([job.id] for job in running)
        assert sorted(one["pid"] for one in consumers) == sorted(service.children())
        assert {one["state"] for one in consumers} == {"busy"}
        assert all(one["queues"] == ["high", "default"] and one["heard"] < 30 for one in consumers)
        default = queue_of(answer, "default")
        assert (default["waiting"], default["running"], default["consumers"]) == (1, 2, 2)
        assert answer["attention"] == [], "the third job waits for a consumer, and there are some"

        rows = run("status", url=server.url).stdout.splitlines()
        for one in consumers:
            assert any(row.startswith(one["name"]) and one["jobs"][0] in row and "ago" in row for row in rows)

        service.kill_tree()
        redis.delete(*redis.smembers("rq:workers"))  # their records expire; no instance is left for the rescue
        alone, *gone = status(server.url)["attention"]
        assert alone == "1 job waits on 'default' and no consumer reads it."
        assert len(gone) == 2
        assert all("is gone and holds 1 claimed job:" in sentence for sentence in gone)


def test_it_says_when_all_is_suspended_and_when_nobody_works(server: RedisServer, redis: redis_py.Redis) -> None:
    redis.set("rq:suspended", 1)
    told = run("status", url=server.url).stdout
    assert "! All queues are suspended" in told
    assert "No consumer is registered." in told
    assert "Dead letters: 0." in told


def test_reading_changes_nothing(server: RedisServer, redis: redis_py.Redis) -> None:
    """RQ's own tools fail abandoned jobs and forget workers while they look."""
    queue = Queue("default", connection=redis)
    abandoned = queue.enqueue(tasks.add, 1, 2)
    redis.lrem("rq:queue:default", 0, abandoned.id)
    redis.hset(f"rq:job:{abandoned.id}", "status", "started")
    redis.zadd("rq:wip:default", {f"{abandoned.id}:execution": 1})
    redis.zadd("rq:failed:default", {"expired": 1})
    redis.sadd("rq:workers", "rq:worker:gone")
    redis.sadd("rq:worker:gone:executions", f"{abandoned.id}:execution")
    queue.enqueue(tasks.add, 1, 2)

    def everything() -> dict[bytes, tuple[bytes, int]]:
        return {key: (redis.dump(key), redis.expiretime(key)) for key in redis.scan_iter()}

    letter = queue.enqueue(tasks.boom)
    redis.hset(f"rq:job:{letter.id}", "status", "failed")
    redis.rpush("rq:queue:dead-letter", letter.id, "whose job is gone")
    before = everything()
    for command in (("status",), ("dead", "list"), ("dead", "show", letter.id)):
        told = run(*command, url=server.url)
        assert (told.returncode, everything()) == (0, before), command
