"""`python -m worker status`: the fleet at a glance, without touching it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis as redis_py
from rq import Queue, Retry
from rq.cron import CronJob

from tests.support import tasks
from tests.support.commands import run
from tests.support.engine import script_calls
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.worker import consumer
from worker.dispatcher import cron_file
from worker.dispatcher.cron import Cron
from worker.dispatcher.leader import LeaderOnly, Leadership


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
    assert 0 <= low["next_waits"] < 120
    assert answer["attention"] == ["3 jobs wait on 'low' and no consumer reads it."]


def test_it_shows_the_consumers_of_the_fleet_and_what_they_run(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    with Service(server.url, RENDER_GIT_COMMIT="3f2a9c1d", WORKER_ISOLATION="job") as service:
        jobs = [Queue("default", connection=redis).enqueue(tasks.journal_and_sleep, str(path), 150) for _ in range(3)]
        until(lambda: len(tasks.runs(path)) == 2, service=service)
        running = [job for job in jobs if job.id in tasks.runs(path)]
        answer = status(server.url)
        consumers = answer["consumers"]
        assert sorted(one["jobs"] for one in consumers) == sorted([job.id] for job in running)
        assert sorted(one["pid"] for one in consumers) == sorted(service.children())
        assert {one["state"] for one in consumers} == {"busy"}
        assert all(one["queues"] == ["high", "default"] and one["heard"] < 120 for one in consumers)
        default = queue_of(answer, "default")
        assert (default["waiting"], default["running"], default["consumers"]) == (1, 2, 2)
        assert answer["attention"] == [], "the third job waits for a consumer, and there are some"

        assert {one["instance"] for one in consumers} == {consumers[0]["name"].rpartition(".")[0]}, "one instance"
        assert all(0 <= one["job_age"] < 120 and one["memory_mb"] > 10 and one["rq"] for one in consumers)
        assert {(one["release"], one["isolation"], one["threads"]) for one in consumers} == {("3f2a9c1d", "job", 1)}

        rows = run("status", url=server.url).stdout.splitlines()
        for one in consumers:
            assert any(row.startswith(one["name"]) and one["jobs"][0] in row and " job " in row for row in rows)

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
    for command in (("status",), ("status", "--deep", "--json"), ("dead", "list"), ("dead", "show", letter.id)):
        told = run(*command, url=server.url)
        assert (told.returncode, everything()) == (0, before), command


def test_it_groups_dead_letters_by_their_fingerprint(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    for _ in range(3):
        queue.enqueue(tasks.boom)
    queue.enqueue(tasks.give_up)
    consumer(redis).work(burst=True)
    first, second = status(server.url)["letters"]
    assert (first["count"], first["function"], first["error"]) == (3, "tests.support.tasks.boom", "ValueError: boom")
    assert (second["count"], second["reason"]) == (1, "permanent")
    assert first["fingerprint"] in run("status", url=server.url).stdout


def test_it_shows_what_is_scheduled_and_which_attempt_that_is(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    failed = queue.enqueue(tasks.boom, retry=Retry(max=2, interval=600))
    consumer(redis).work(burst=True)
    later = queue.enqueue_in(timedelta(hours=2), tasks.add, 1, 2)
    retry, scheduled = status(server.url)["scheduled"]
    assert (retry["job_id"], retry["attempt"], retry["last_error"]) == (failed.id, 2, "ValueError: boom")
    assert (scheduled["job_id"], scheduled["attempt"]) == (later.id, 1)
    assert 480 < retry["due_in"] <= 601
    assert 7080 < scheduled["due_in"] <= 7201
    assert failed.id in run("status", url=server.url).stdout


def test_it_shows_the_lines_of_the_schedule(server: RedisServer, redis: redis_py.Redis) -> None:
    calls = script_calls(redis)
    leadership = Leadership(calls, "ann")
    line = cron_file.Entry("line", CronJob("low", func=tasks.add, interval=600, name="sums"), True)
    LeaderOnly(leadership, Cron(calls, leadership, [line])).run()
    answer = status(server.url)
    (shown,) = answer["cron"]
    assert (shown["name"], shown["queue"], shown["when"], answer["leader"]) == ("sums", "low", "every 600 s", "ann")
    assert 0 <= shown["last_ago"] < 120
    assert 480 < shown["next_in"] <= 600


def test_it_names_the_server_and_what_is_wrong_with_it(own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        answer = status(own_server.url)
        product = "Valkey" if "valkey_version" in client.info("server") else "Redis"
        assert (answer["redis"]["product"], answer["redis"]["eviction"]) == (product, "allkeys-lru")
        assert "noeviction" in answer["attention"][0]
        client.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-info"])
        told = run("status", "--json", url=f"redis://plain:x@127.0.0.1:{own_server.port}/0")
        assert json.loads(told.stdout)["redis"]["version"] is None, "a provider that refuses INFO is no trouble"


def test_a_deep_look_names_jobs_that_stand_in_no_list(server: RedisServer, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
    redis.delete("rq:queue:default")
    assert "strays" not in status(server.url), "it looks at every job: only on demand"
    told = run("status", "--deep", "--json", url=server.url)
    answer = json.loads(told.stdout)
    assert [(one["job_id"], one["status"], one["queue"]) for one in answer["strays"]] == [(job.id, "queued", "default")]
    assert "1 job is in no queue and no registry." in run("status", "--deep", url=server.url).stdout
    redis.delete(job.key)
    assert "Every job is in the queue or registry of its status." in run("status", "--deep", url=server.url).stdout


def test_watching_goes_on_through_an_outage(own_server: RedisServer) -> None:
    with Service(own_server.url, "status", "--watch", "0.2", "--json") as watching:
        until(lambda: len(watching.events) >= 2, service=watching)
        own_server.kill()
        until(lambda: any("Redis:" in line for line in watching.output), service=watching)
        seen = len(watching.events)
        own_server.restart(keep_data=True)
        until(lambda: len(watching.events) > seen, service=watching)


def test_it_says_where_long_jobs_stand(server: RedisServer, redis: redis_py.Redis, tmp_path: Path) -> None:
    with Service(server.url, WORKER_PROCESSES="1") as service:
        job = Queue("default", connection=redis).enqueue(tasks.long_job, str(tmp_path / "j"), 1000, 0, 0.2)
        until(lambda: redis.hexists(job.key, "journal"), service=service)
        assert " kept, the last one 'step:" in status(server.url)["standing"][job.id]
        told = run("status", url=server.url).stdout
        assert "Where long jobs stand:" in told
        assert " kept, the last one 'step:" in told
        service.kill_tree()
