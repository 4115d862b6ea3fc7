"""The search for jobs, on a real server that holds what strangers have written."""

from __future__ import annotations

import json
import pickle
import time
import zlib
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import desk, register
from worker.console.reading import jobs, queues
from worker.console.reading.jobs import JobPage, Wanted, search
from worker.fleet import pauses
from worker.keys import Keys

KEYS = Keys("rq")


def ids(page: JobPage) -> list[str]:
    return [row.job_id for row in page.rows]


def all_pages(redis: redis_py.Redis, wanted: Wanted, most: int = 50) -> list[JobPage]:
    pages = [search(redis, KEYS, wanted, most=most)]
    while pages[-1].cursor:
        pages.append(search(redis, KEYS, wanted, cursor=pages[-1].cursor, most=most))
    return pages


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


@pytest.fixture
def world(redis: redis_py.Redis) -> redis_py.Redis:
    """Hold jobs in each place."""
    default, high = Queue("default", connection=redis), Queue("high", connection=redis)
    default.enqueue(tasks.add, 4711, 1, job_id="a")
    default.enqueue(tasks.boom, "Überraschung", job_id="b")
    high.enqueue(tasks.add, 2, 2, job_id="c", description="the Answer")
    Queue("default", connection=redis, serializer="json").enqueue("jobs.mail.send", {"to": "Zoë"}, job_id="j")
    for job_id, kind, status in (("f", "failed", "failed"), ("s", "failed", "stopped"), ("d", "deferred", "deferred")):
        high.enqueue(tasks.add, 3, 3, job_id=job_id)
        redis.lrem("rq:queue:high", 0, job_id)
        redis.hset(f"rq:job:{job_id}", mapping={"status": status, "last_error": "ValueError: no such Shop"})
        redis.zadd(f"rq:{kind}:high", {job_id: 4e9})
    register(redis, "ann")
    (claim,) = desk(redis, "ann", "high").settle_and_claim([], 1).claims
    assert claim.job_id == "c"
    return redis


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["c", "j", "b", "a", "d", "f", "s"]),
        (Wanted(status="queued"), ["j", "b", "a"]),
        (Wanted(status="started"), ["c"]),
        (Wanted(status="failed"), ["f"]),
        (Wanted(status="stopped"), ["s"]),
        (Wanted(queue="high"), ["c", "d", "f", "s"]),
        (Wanted(queue="none"), []),
        (Wanted(function="tests.support.tasks.boom"), ["b"]),
        (Wanted(function="jobs.*"), ["j"]),
        (Wanted(function="*.add", queue="default"), ["a"]),
        (Wanted(text="4711"), ["a"]),  # a pickle holds numbers in binary, and RQ's description as text
        (Wanted(text="überraschung"), ["b"]),
        (Wanted(text="zoë"), ["j"]),
        (Wanted(text="no such shop"), ["d", "f", "s"]),
        (Wanted(text="the answer"), ["c"]),
        (Wanted(text="a", status="failed"), ["a", "f"]),
        (Wanted(until=1.0), []),
        (Wanted(since=1.0, status="queued"), ["j", "b", "a"]),
    ],
)
def test_it_finds_by_what_is_asked(
    world: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, found: list[str]
) -> None:
    monkeypatch.setattr(jobs, "BUDGET_SECONDS", 60.0)
    page = search(world, KEYS, wanted)
    assert sorted(ids(page)) == sorted(found)
    assert page.cursor == ""
    assert page.sentence().startswith(f"{len(found)} job")


def test_rows_tell_what_is_known(world: redis_py.Redis) -> None:
    (row,) = search(world, KEYS, Wanted(text="c", status="started")).rows
    assert (row.job_id, row.function, row.queue) == ("c", "tests.support.tasks.add", "high")
    assert row.place == "found by its id"
    assert row.started_at is not None
    assert abs(row.started_at - time.time()) < 60
    assert row.worker == "ann"
    (failed,) = search(world, KEYS, Wanted(status="failed")).rows
    assert (failed.place, failed.error) == ("failed", "ValueError: no such Shop")


def test_pages_go_on_where_the_last_one_stopped(redis: redis_py.Redis) -> None:
    names = [f"n{number:03}" for number in range(250)]
    for name in names:
        Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id=name)
    pages = all_pages(redis, Wanted(), most=30)
    assert [job_id for page in pages for job_id in ids(page)] == names[::-1], "the newest first, each once"
    assert [page.looked_at for page in pages] == [*range(30, 250, 30), 250]
    assert pages[0].sentence() == "30 jobs found; looked at the newest 30 of 250 jobs so far."
    assert pages[-1].sentence() == "10 jobs found; all of 250 jobs looked at."
    assert search(redis, KEYS, Wanted(), cursor="queue|5|gone").rows == ()
    first = queues.peek(redis, KEYS, "default", most=100)
    assert ids(first) == names[:100]
    assert ids(queues.peek(redis, KEYS, "default", first=int(first.cursor), most=1000)) == names[100:]


def test_jobs_that_stand_aside_are_found_under_their_queue(redis: redis_py.Redis) -> None:
    pauses.pause(redis, KEYS, function="tests.support.tasks.add", seconds=None, who="ann")
    Queue("default", connection=redis).enqueue(tasks.add, 1, 1, job_id="a")
    register(redis, "ann")
    ann = desk(redis, "ann", "default")
    ann.park([(ann.settle_and_claim([], 1).claims[0], "tests.support.tasks.add")])
    assert ids(search(redis, KEYS, Wanted(queue="default"))) == ["a"]
    assert ids(search(redis, KEYS, Wanted(status="queued"))) == ["a"]


def test_what_strangers_wrote_runs_nothing_and_stops_nothing(redis: redis_py.Redis, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = pickle.dumps(("jobs.f", None, (Trap(str(sprung)),), {}))
    hostile: dict[bytes, dict[str, bytes | str]] = {
        b"trap": {"data": zlib.compress(trap)},
        b"bomb": {"data": zlib.compress(b"\x00" * 50_000_000, 9)},
        b"huge": {"data": b"x" * 3_000_000, "description": "jobs.huge.one('x')", "last_error": "e" * 1_000_000},
        b"torn": {"data": zlib.compress(trap)[:20]},
        b"ansi \x1b[2J\xe2\x80\xae": {"data": b"\x1b[2J", "origin": b"\xff\xfe", "created_at": "\x1b[31m"},
        b"\xff\xfe": {"data": json.dumps(["<script>alert(1)</script>", None, [], {}])},
        b"dates": {"created_at": "9" * 5000, "enqueued_at": "2026-11-25T04:37:30Z", "attempts": "9" * 400},
        b"deep": {"data": b'["' + b"[" * 90_000},
    }
    for job_id, fields in hostile.items():
        redis.hset(b"rq:job:" + job_id, mapping={"status": "queued", "created_at": "2026-11-25T04:37:30Z", **fields})
        redis.rpush("rq:queue:default", job_id)
    redis.sadd("rq:queues", "rq:queue:default", b"rq:queue:\xff", "rq:queue:odd", "x" * 1000)
    redis.set("rq:queue:odd", "no list")
    redis.set("rq:job:string", "no hash")
    redis.set("rq:wip:default", "no sorted set")
    redis.rpush("rq:queue:default", "string", "gone")
    for wanted in (Wanted(), Wanted(text="zzz"), Wanted(function="*script*"), Wanted(text="\udcff\x00")):
        pages = all_pages(redis, wanted)
        assert pages[-1].looked_at == 10
    everything = all_pages(redis, Wanted())[0]
    assert len(everything.rows) == 8
    rows = {row.job_id.encode(errors="surrogateescape"): row for row in everything.rows}
    assert rows[b"huge"].function == "jobs.huge.one"
    assert len(rows[b"huge"].error) <= 300
    assert rows[b"trap"].function == "jobs.f"
    assert rows[b"\xff\xfe"].function == "<script>alert(1)</script>"
    assert "1 payload too large to search" in search(redis, KEYS, Wanted(text="zzz")).sentence()
    assert len(jobs.rows_of(redis, KEYS, [*ids(everything), "string", "gone"])) == 8
    assert [row.description for row in queues.peek(redis, KEYS, "default").rows[-2:]] == ["it was deleted"] * 2
    assert not sprung.exists()
