"""What consumers count of each function is in the history: right, bounded, and for few commands."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry

from tests.support import tasks
from tests.support.waiting import eventually
from tests.support.worker import work
from worker.consumer import tally
from worker.consumer.tally import Counting
from worker.engine import past
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.tallies import MOST_FUNCTIONS, OTHER, Tally

KEYS = Keys("rq")


def counted(redis: redis_py.Redis, seconds: float = 3600) -> dict[str, tuple[int, int, int]]:
    """Return runs, failures and burials of each function."""
    found = past.read(redis, KEYS, seconds)
    whole = {name.rpartition(".")[2]: found.whole(name) for name in found.functions}
    return {name: (one.processed, one.failed, one.buried) for name, one in whole.items()}


@pytest.mark.parametrize(
    "environ", [{}, {"WORKER_THREADS": "2"}, {"WORKER_ISOLATION": "job"}], ids=["process", "threads", "job"]
)
def test_each_run_is_counted_once_however_it_ends(redis: redis_py.Redis, queue: Queue, environ: dict[str, str]) -> None:
    for number in range(3):
        queue.enqueue(tasks.add, number, 1)
    queue.enqueue(tasks.boom, retry=Retry(max=2))
    queue.enqueue(tasks.give_up, on_failure=Callback(tasks.on_failure))
    queue.enqueue(tasks.as_number, "1", on_success=Callback(tasks.raising_callback))
    queue.enqueue(tasks.say, "a", on_success=Callback(tasks.on_success))
    work(redis, RENDER_GIT_COMMIT="abc", **environ)
    expected = {"add": (3, 0, 0), "boom": (3, 3, 1), "give_up": (1, 1, 1), "as_number": (1, 1, 1), "say": (1, 0, 0)}
    assert counted(redis) == counted(redis, 8 * 3600) == expected
    found = past.read(redis, KEYS, 3600)
    whole = found.whole("tests.support.tasks.add")
    assert sum(whole.run.values()) == sum(whole.wait.values()) == 3


def test_a_consumer_that_runs_nothing_sends_nothing_and_one_that_counts_nothing_neither(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    call = ScriptCalls.call
    monkeypatch.setattr(
        ScriptCalls,
        "call",
        lambda self, script, *args, **more: (sent.append(script), call(self, script, *args, **more))[1],
    )
    work(redis)
    assert scripts.TALLY not in sent
    for number in range(300):
        queue.enqueue(tasks.add, number, 1)
    work(redis, WORKER_HISTORY_INTERVAL="3600")
    assert sent.count(scripts.TALLY) == 1, "what is left goes with the consumer's end"
    queue.enqueue(tasks.add, 1, 1)
    work(redis, WORKER_HISTORY_INTERVAL="0")
    assert sent.count(scripts.TALLY) == 1
    assert counted(redis) == {"add": (300, 0, 0)}


def counting(redis: redis_py.Redis, release: str = "", seconds: float = 3600.0) -> Counting:
    return Counting(ScriptCalls(redis, "rq"), release, seconds)


def one(counting: Counting, function: str, wait: float = 1.0, run: float = 0.1) -> None:
    """Count a run that was enqueued `wait` seconds before it began."""
    now = tally.monotonic()
    at = tally.datetime.fromtimestamp(counting._calls.clock.now() - run - wait, tally.UTC)
    date = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    counting.count(function, date, now - run, now, failed=False, buried=False)


def test_times_are_counted_where_they_belong_and_sent_while_the_consumer_works(redis: redis_py.Redis) -> None:
    books = counting(redis, seconds=0.05)
    for wait in (0.0, 5.0, -50.0):
        one(books, "a.b", wait=wait, run=2.0)
    for date in (b"no date", b"1600-01-01T00:00:00.000000Z"):
        books.count("a.b", date, 0.0, 2.0, failed=False, buried=False)
    books.count("a.b", b"", 2.0, 2.0, failed=True, buried=True)  # it was refused, and never began
    eventually(lambda: counted(redis) == {"b": (6, 1, 1)})
    whole = past.read(redis, KEYS, 60).whole("a.b")
    assert (whole.run, whole.wait) == ({19: 5}, {0: 2, 22: 1})


def test_many_functions_are_bounded_by_those_that_came_first(redis: redis_py.Redis) -> None:
    books = counting(redis)
    for number in range(MOST_FUNCTIONS + 20):
        one(books, f"jobs.f{number}")
    books.close()
    other = counting(redis)
    one(other, "jobs.f0")
    one(other, "jobs.late")
    other.close()
    found = past.read(redis, KEYS, 3600)
    assert len(found.functions) == MOST_FUNCTIONS + 1
    assert found.whole(OTHER).processed == 21
    assert found.whole("jobs.f0").processed == 2
    for period in (60, 600):
        (key,) = redis.keys(f"rq:history:{period}:*")
        assert redis.hlen(key) == MOST_FUNCTIONS + 1
        assert 0 < redis.ttl(key) <= 73 * 3600


def test_what_redis_does_not_take_is_sent_later(redis: redis_py.Redis) -> None:
    books = counting(redis)
    calls = books._calls
    books._calls = ScriptCalls(redis_py.Redis(port=1), "rq")
    books._calls.clock = calls.clock
    one(books, "a.b")
    assert books._send()
    one(books, "a.b")
    books._calls = calls
    assert books._send()
    assert counted(redis) == {"b": (2, 0, 0)}
    redis.set(redis.keys("rq:history:60:*")[0], "somebody's")
    one(books, "a.b")
    assert books._send()
    assert counted(redis) == {"b": (1, 0, 0)}


def test_a_release_is_marked_when_it_comes_and_when_it_comes_back(redis: redis_py.Redis) -> None:
    def seen(release: str) -> dict[bytes, bytes]:
        books = counting(redis, release)
        one(books, "a.b")
        books.close()
        found: dict[bytes, bytes] = redis.hgetall("rq:history:releases")
        return found

    def ago(release: str, first: int, last: int) -> None:
        redis.hset("rq:history:releases", release, f"{now - first} {now - last}")

    now = int(redis.time()[0])
    first = seen("one")[b"one"].split()
    assert first[0] == first[1]
    ago("one", 5000, 10)
    ago("two", 30, 10)
    assert seen("one")[b"one"].startswith(str(now - 5000).encode()), "both run while they are replaced"
    ago("one", 5000, 2000)
    ago("two", 1900, 10)
    assert int(seen("one")[b"one"].split()[0]) >= now, "it came back"
    ago("one", 5000, 4000)
    redis.hdel("rq:history:releases", "two")
    assert seen("one")[b"one"].startswith(str(now - 5000).encode()), "nothing ran for an hour"
    ago("old", 400_000, 300_000)
    for number in range(60):
        ago(f"r{number}", 1000, 1000)
    assert b"new" not in seen("new")
    assert b"old" not in redis.hgetall("rq:history:releases")
    marks = past.read(redis, KEYS, 3 * 3600).deploys
    assert [mark.at for mark in marks] == sorted(mark.at for mark in marks)


def test_a_record_of_a_hundred_functions_takes_so_much(redis: redis_py.Redis) -> None:
    """docs/operations.md: what a day of them takes."""
    whole = Tally(1200, 12, 1, run=dict.fromkeys(range(10, 22), 100), wait=dict.fromkeys(range(4, 16), 100)).text()
    pairs = [part for number in range(MOST_FUNCTIONS) for part in (f"shop.orders.function_{number:03}", whole)]
    ScriptCalls(redis, "rq").call(scripts.TALLY, "", *pairs)
    (key,) = redis.keys("rq:history:600:*")
    size = redis.memory_usage(key)
    print(f"ten minutes of 100 functions: {size:,} bytes; a day: {144 * size / 1e6:.1f} MB")
    assert size < 40_000
