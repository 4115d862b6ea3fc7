"""One job's story, on a real server, of jobs that ran and of what strangers have written."""

from __future__ import annotations

import json
import pickle
import zlib
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry

from tests.support import tasks
from tests.support.engine import desk, register
from tests.support.worker import work
from worker.console.reading import job as reading
from worker.console.reading.job import JobStory
from worker.engine.described import Undescribed
from worker.keys import Keys

KEYS = Keys("rq")


def told(redis: redis_py.Redis, job_id: str) -> JobStory:
    found = reading.story(redis, KEYS, job_id)
    assert found is not None
    return found


def test_a_job_that_waits(redis: redis_py.Redis, queue: Queue) -> None:
    first, second = queue.enqueue(tasks.add, 1, 1), queue.enqueue(tasks.add, 2, 3, job_id="second", ttl=600)
    child = queue.enqueue(tasks.add, 4, 4, depends_on=[second], job_id="child")
    seen = told(redis, "second")
    assert (seen.function, seen.status, seen.queue) == ("tests.support.tasks.add", "queued", "default")
    assert seen.place == "Number 2 of 2 on the queue 'default'."
    assert [(one.job_id, one.status) for one in seen.dependents] == [("child", "deferred")]
    assert seen.lives is not None
    assert 590 < seen.lives <= 600
    assert seen.can == {"cancel"}
    assert seen.attempts == ()
    assert reading.arguments(redis, KEYS, "second") == "tests.support.tasks.add(2, 3)"
    assert told(redis, child.id).parents[0].job_id == "second"
    assert told(redis, child.id).place == "Waits for the jobs that it depends on."
    assert told(redis, first.id).place == "Number 1 of 2 on the queue 'default'."
    with pytest.raises(Undescribed, match="It has no result"):
        reading.result(redis, KEYS, "second")


def test_jobs_that_ran(redis: redis_py.Redis, queue: Queue) -> None:
    good = queue.enqueue(tasks.add, 1, 2, on_success=Callback("tests.support.tasks.on_success"))
    bad = queue.enqueue(tasks.boom, "the shop is closed")
    again = queue.enqueue(tasks.boom, "not yet", retry=Retry(2, interval=600))
    work(redis)
    seen = told(redis, good.id)
    assert (seen.status, seen.place, seen.can) == ("finished", "Has finished.", {"run_again"})
    (attempt,) = seen.attempts
    assert (attempt.outcome, attempt.error) == ("finished", "")
    assert attempt.seconds is not None
    assert 0 <= attempt.seconds < 60
    assert seen.callbacks == (("success", "tests.support.tasks.on_success"),)
    assert reading.result(redis, KEYS, good.id) == "3"

    failed = told(redis, bad.id)
    assert failed.can == {"run_again", "replay", "edit", "discard"}
    assert failed.attempts[0].error.endswith("the shop is closed")
    assert failed.attempts[0].traceback.startswith("Traceback")
    assert failed.dead_letter["meaning"] == "the job raised and had no retries"

    waits = told(redis, again.id)
    assert (waits.status, waits.made) == ("scheduled", 1)
    assert "not yet" in waits.last_error
    assert waits.next_attempt_in is not None
    assert 500 < waits.next_attempt_in <= 601
    assert waits.place.startswith("Goes to the queue 'default' in ")
    assert waits.can == {"run_again", "cancel"}


def test_a_job_that_runs_and_shows_where_it_is(redis: redis_py.Redis, queue: Queue) -> None:
    queue.enqueue(tasks.add, 1, 2, job_id="a", meta={"progress": {"percent": 42, "message": "half way"}, "shop": "ü"})
    queue.enqueue_in(timedelta(hours=1), tasks.add, 1, 1)
    register(redis, "ann")
    redis.hset("rq:worker:ann", "release", "abc1234")
    desk(redis, "ann", "default").settle_and_claim([], 1)
    created = redis.hget("rq:job:a", "created_at") or b""
    standing = json.dumps({"steps": 2, "last": "upload", "cursors": {"page": "7"}}).encode()
    redis.hset("rq:job:a", "journal", created + b" " + standing)
    redis.hset(
        "rq:journal:a", mapping={"step:fetch": "5.0 1", "step:upload": "6.5 {}", "cursor:page": "7.0 7", "x": "y"}
    )
    redis.rpush("rq:log:a", created + b" 3", "8.5 1 - fetched", "9 2 40 half", "x")
    seen = told(redis, "a")
    assert (seen.log.lines, seen.log.left_out) == (((8.5, 1, None, "fetched"), (9.0, 2, 40, "half")), 3)
    assert (seen.place, seen.worker, seen.release, seen.can) == ("Runs on ann.", "ann", "abc1234", {"stop"})
    assert (seen.progress, seen.progress_text) == (42.0, "half way")
    assert json.loads(seen.meta)["shop"] == "ü"
    assert [(step.name, step.at) for step in seen.steps] == [("fetch", 5.0), ("upload", 6.5)]
    assert [(cursor.name, cursor.text) for cursor in seen.cursors] == [("page", "7")]
    assert seen.stands == "2 steps kept, the last one 'upload'; cursor page at 7"


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


def test_what_strangers_wrote_runs_nothing_and_stops_nothing(redis: redis_py.Redis, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = pickle.dumps(Trap(str(sprung)))
    hostile: list[dict[str, bytes | str]] = [
        {"data": zlib.compress(pickle.dumps(("f", None, (Trap(str(sprung)),), {}))), "meta": trap, "journal": trap},
        {"data": b"x" * 3_000_000, "meta": b"{" * 300_000, "last_error": "e" * 2_000_000, "dead_letter": "[" * 100_000},
        {"created_at": "9" * 5000, "attempts": "-1", "status": "\x1b[2J\u202e", "origin": b"\xff", "meta": "[1, 2]"},
        {"status": "failed", "dead_letter": "7", "meta": '{"progress": {"percent": "NaN", "message": []}}'},
        {f"field{number}": "x" for number in range(1000)},
        {b"\xff\x00": b"\xff" * 1000, "created_at": "x"},  # type: ignore[dict-item]
    ]
    for number, fields in enumerate(hostile):
        redis.hset(f"rq:job:{number}", mapping={"status": "queued", **fields})
        redis.xadd(f"rq:results:{number}", {"type": "2", "exc_string": b"\xff" * 10_000, "execution_started_at": "x"})
        redis.xadd(f"rq:results:{number}", {"type": "1", "return_value": trap + b"\x00" * 2_000_000})
        seen = told(redis, str(number))
        assert len(seen.meta) + len(seen.last_error) + len(seen.status) <= 3 * reading.MOST_TEXT
        assert len(seen.attempts) <= 2
        for read in (reading.arguments, reading.result):
            with suppress(Undescribed):
                assert len(read(redis, KEYS, str(number))) <= reading.MOST_TEXT
    for key, kind in (("dependents", "x"), (":dependencies", "x")):
        redis.set(f"rq:job:0:{key}", kind)
    redis.set("rq:job::0:dependencies", "x")
    redis.delete("rq:results:0")
    redis.set("rq:results:0", "x")
    redis.set("rq:journal:0", "x")
    assert told(redis, "0").attempts == ()
    redis.set("rq:job:string", "x")
    assert reading.story(redis, KEYS, "string") is None
    assert reading.story(redis, KEYS, "no \udcff such") is None
    assert not sprung.exists()
