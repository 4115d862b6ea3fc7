"""`python -m worker migrate`: everything of one Redis is on another one afterwards, once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue, Retry
from rq.job import Dependency, Job
from rq.registry import ScheduledJobRegistry
from rq.worker_registration import register
from rq_scheduler import Scheduler

from tests.support import tasks
from tests.support.commands import run
from tests.support.engine import desk, everything, script_calls
from tests.support.engine import register as register_worker
from tests.support.rq_scheduler_jobs import put_off
from tests.support.server import RedisServer, free_port
from tests.support.worker import consumer
from worker.engine.leases import orphans
from worker.exits import Exit
from worker.fleet import pauses
from worker.keys import Keys


@pytest.fixture(scope="module")
def new_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def new(new_server: RedisServer) -> Iterator[redis_py.Redis]:
    new_server.flush()
    with new_server.client() as client:
        yield client


def migrate(server: RedisServer, new_server: RedisServer, *options: str) -> subprocess.CompletedProcess[str]:
    return run("migrate", "--from", server.url, "--to", new_server.url, *options, url=None)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    return {row["what"]: row for row in json.loads(done.stdout)["counts"]}


def fill(redis: redis_py.Redis) -> None:
    """Jobs in every state, pickled and JSON, with everything that goes with them."""
    queue = Queue("default", connection=redis)
    plain = Queue("high", connection=redis, serializer="json")
    queue.enqueue(tasks.add, 1, 2, job_id="finished")
    queue.enqueue(tasks.steps_and_a_cursor, 3, [1], job_id="failed")
    plain.enqueue(tasks.set_meta, "told", {"größe": 1}, job_id="with-meta")
    consumer(redis).work(burst=True)
    for number in range(250):
        plain.enqueue(tasks.add, number, 1, job_id=f"waiting-{number}", retry=Retry(2, [1, 2]), ttl=9000)
    parent = queue.enqueue(tasks.add, 3, 4, job_id="parent")
    queue.enqueue(tasks.add, 5, 6, job_id="child", depends_on=Dependency([parent], allow_failure=True))
    queue.enqueue_in(timedelta(hours=1), tasks.add, 7, 8, job_id="later")
    queue.enqueue(tasks.add, 9, 9, job_id="canceled").cancel()
    redis.set("rq:cache:product:2:ff", b"\x00\xff", ex=5000)
    redis.set("somebody-elses", "key")


def contents(redis: redis_py.Redis) -> dict[str, object]:
    """All that is to be carried."""
    own = ("rq:migration:", "rq:worker", "rq:clean_", "somebody-elses")
    return {key: value for key, value in everything(redis).items() if not key.startswith(own)}


def test_everything_is_there_afterwards_and_the_source_is_as_it_was(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    fill(redis)
    before, whole = contents(redis), everything(redis)
    rows = told(migrate(server, new_server, "--json"))
    assert (rows["jobs"]["source"], rows["jobs"]["carried"]) == (257, 257)
    assert rows["queue:high"]["carried"] == 250
    assert rows["queue:dead-letter"]["carried"] == 1
    assert contents(new) == before
    assert everything(redis) == whole
    for key in before:
        old_ttl, new_ttl = redis.ttl(key), new.ttl(key)
        assert abs(old_ttl - new_ttl) < 60, key
        assert (old_ttl == -1) == (new_ttl == -1), key
    assert new.hlen("rq:journal:failed") == 4
    assert new.llen("rq:log:failed") == 2
    assert not new.exists("somebody-elses")
    assert not list(new.scan_iter("rq:worker*"))
    assert 0 < new.ttl("rq:migration:moved") <= 30 * 86400


def test_what_was_carried_runs_there_each_job_once(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis, tmp_path: Path
) -> None:
    path = str(tmp_path / "journal")
    queue = Queue("default", connection=redis)
    for number in range(30):
        queue.enqueue(tasks.journal, path, job_id=f"job-{number}")
    told(migrate(server, new_server, "--json"))
    told(migrate(server, new_server, "--json"))
    consumer(new).work(burst=True)
    queue.enqueue(tasks.journal, path, job_id="late")
    rows = told(migrate(server, new_server, "--json"))
    assert (rows["jobs"]["carried"], rows["jobs"]["before"]) == (1, 30)
    assert (rows["queue:default"]["carried"], rows["queue:default"]["before"]) == (1, 30)
    consumer(new).work(burst=True)
    lines = Path(path).read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted([*(f"job-{n}" for n in range(30)), "late"])


def test_the_order_of_a_queue_stays_and_jobs_of_the_new_one_keep_their_place(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    Queue("default", connection=new).enqueue(tasks.add, 1, 1, job_id="new")
    Queue("default", connection=new).enqueue(tasks.add, 1, 1, job_id="both")
    for job_id in ("b", "a", "both", "c"):
        Queue("default", connection=redis).enqueue(tasks.add, 2, 2, job_id=job_id)
    rows = told(migrate(server, new_server, "--json"))
    assert new.lrange("rq:queue:default", 0, -1) == [b"new", b"both", b"b", b"a", b"c"]
    assert (rows["jobs"]["left_out"], rows["queue:default"]["left_out"]) == (1, 1)
    assert b"[1, 1]" not in new.hget("rq:job:both", "description")
    assert new.hget("rq:job:both", "description").endswith(b"(1, 1)"), "a job of the new Redis is not written over"


def test_pauses_and_the_jobs_that_stand_aside_go_with_it(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    keys, function = Keys("rq"), "tests.support.tasks.add"
    pauses.pause(redis, keys, function=function, seconds=None, who="ann")
    for job_id in ("a", "b"):
        Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id=job_id)
    register_worker(redis, "ann")
    ann = desk(redis, "ann", "default")
    assert ann.park([(claim, function) for claim in ann.settle_and_claim([], 2).claims]) == [1, 1]
    redis.delete("rq:worker:ann", "rq:workers")
    told(migrate(server, new_server, "--json"))
    consumer(new, "default").work(burst=True)
    assert new.hget("rq:job:a", "status") == b"queued"
    pauses.resume(new, keys, who="ann")
    consumer(new, "default").work(burst=True)
    assert [new.hget(f"rq:job:{job_id}", "status") for job_id in ("a", "b")] == [b"finished"] * 2


def test_the_claims_of_a_dead_worker_are_rescued_on_the_new_one(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="orphan")
    register_worker(redis, "ann")
    assert desk(redis, "ann").settle_and_claim([], 1).claims
    redis.delete("rq:worker:ann")
    told(migrate(server, new_server, "--json"))
    rescuer = consumer(new)
    assert orphans(script_calls(new), ("default",)).dead == ["ann"]
    left = desk(new, "ann").rescue("")
    assert (left.released, new.lrange("rq:queue:default", 0, -1)) == (1, [b"orphan"])
    rescuer.work(burst=True)
    assert new.hget("rq:job:orphan", "status") == b"finished"


def test_a_job_that_changed_before_it_was_taken_over_is_copied_anew(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    """As after a kill between the data and the places: copied, and not moved."""
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="one")
    told(migrate(server, new_server, "--json"))
    new.delete("rq:queue:default", "rq:migration:moved", "rq:migration:admitted")
    consumer(redis).work(burst=True)
    rows = told(migrate(server, new_server, "--json"))
    assert rows["finished:default"]["carried"] == 1
    assert new.hget("rq:job:one", "status") == b"finished"
    assert new.llen("rq:queue:default") == 0


def test_a_job_that_moved_on_the_source_after_it_was_taken_over_runs_once(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    queue = Queue("default", connection=redis)
    queue.enqueue_in(timedelta(hours=1), tasks.add, 7, 8, job_id="later")
    told(migrate(server, new_server, "--json"))
    ScheduledJobRegistry(queue=queue).remove("later")
    redis.rpush("rq:queue:default", "later")
    rows = told(migrate(server, new_server, "--json"))
    assert (rows["queue:default"]["carried"], rows["queue:default"]["before"]) == (0, 1)
    assert new.llen("rq:queue:default") == 0


def test_ids_without_a_job_stay_behind(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    redis.rpush("rq:queue:default", "gone")
    rows = told(migrate(server, new_server, "--json"))
    assert rows["queue:default"]["left_out"] == 1
    assert not new.exists("rq:queue:default")


def test_a_dry_run_counts_and_writes_nothing(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    fill(redis)
    done = migrate(server, new_server, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was written." in done.stdout
    assert new.keys() == []
    rows = told(migrate(server, new_server, "--dry-run", "--json"))
    assert (rows["jobs"]["carried"], rows["queue:high"]["carried"]) == (257, 250)
    told(migrate(server, new_server, "--json"))
    rows = told(migrate(server, new_server, "--dry-run", "--json"))
    assert (rows["jobs"]["carried"], rows["jobs"]["before"], rows["queue:high"]["before"]) == (0, 257, 250)


def test_a_person_reads_a_table_and_what_comes_next(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    fill(redis)
    done = migrate(server, new_server)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (high,) = [line.split() for line in done.stdout.splitlines() if line.startswith("queue:high")]
    assert high == ["queue:high", "250", "250", "0", "0", "0"]
    assert "Everything is there. Next: point producers" in done.stdout


def test_living_workers_on_the_old_one_stop_it(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    worker = consumer(redis)
    worker.register_birth()
    register(worker)
    done = migrate(server, new_server)
    assert done.returncode == 1
    assert "1 worker is alive on the old Redis" in done.stderr
    assert new.keys() == []
    dry = migrate(server, new_server, "--dry-run")
    assert dry.returncode == 0
    assert "! 1 worker is alive" in dry.stdout


def test_one_database_is_not_carried_into_itself(server: RedisServer, redis: redis_py.Redis) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="one")
    done = migrate(server, server)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the same database" in done.stderr
    assert redis.lrange("rq:queue:default", 0, -1) == [b"one"]


def test_bad_urls_and_trouble_are_told_without_secrets(server: RedisServer) -> None:
    for bad, code, said in (
        ("https://secret.upstash.io", 2, "--to: "),
        (f"redis://:secret@127.0.0.1:{free_port()}/0", 75, "--to: The Redis host refuses the connection"),
        ("redis://:secret@x.upstash.io:6379", 2, "rediss://"),
    ):
        done = run("migrate", "--from", server.url, "--to", bad, url=None)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "secret" not in done.stderr
    assert run("migrate", url=None).returncode == 2


def test_the_urls_may_come_from_the_environment(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="one")
    done = run("migrate", url=None, MIGRATE_FROM=server.url, MIGRATE_TO=new_server.url)
    assert done.returncode == 0, done.stderr
    assert new.lrange("rq:queue:default", 0, -1) == [b"one"]


def moments(redis: redis_py.Redis) -> dict[bytes, float]:
    return dict(redis.zrange(Scheduler.scheduled_jobs_key, 0, -1, withscores=True))


def test_the_schedules_of_rq_scheduler_move_to_another_redis(
    server: RedisServer, redis: redis_py.Redis, new_server: RedisServer, new: redis_py.Redis
) -> None:
    put_off(redis)
    running = Scheduler(connection=redis)
    running.register_birth()
    assert running.acquire_lock()
    refused = migrate(server, new_server)
    assert refused.returncode == Exit.FAILED
    assert "rq-scheduler" in refused.stderr
    running.remove_lock()
    for _ in range(2):  # the second finds all of it there
        done = migrate(server, new_server)
        assert done.returncode == 0, done.stderr + done.stdout
    assert moments(new) == moments(redis)
    assert [new.exists(job) for job in new.keys("rq:job:*")] == [1, 1, 1]
    assert not new.keys("rq:scheduler_instance:*")
    new.zadd(Scheduler.scheduled_jobs_key, dict.fromkeys(moments(new), 1))
    Scheduler(connection=new).enqueue_jobs()
    assert consumer(new).work(burst=True)
    assert sorted(Job.fetch(name.decode()[7:], connection=new).return_value() for name in new.keys("rq:job:*")) == [
        *(3, 7, 11),
    ]
