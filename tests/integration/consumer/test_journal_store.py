"""What steps and cursors keep in Redis: for whom, how long, at what cost, and who may write it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Repeat, Retry
from rq.command import send_stop_job_command
from rq.job import Job

from tests.support import tasks
from tests.support.engine import claimed_everything_back, desk, enqueue, lives, register
from tests.support.letters import MONTH, actions, box, ids, record
from tests.support.waiting import eventually
from tests.support.worker import work
from worker.consumer.journal_store import JournalStores, RedisStore, _Interruptible
from worker.context import JobContext
from worker.engine.claims import Claims
from worker.engine.records import Claim
from worker.journal import ClaimLost, Entry, Journal
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Order

YEAR = 365 * 86400


def begun(path: Path) -> list[str]:
    """Return which steps and items began, in their order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1].removeprefix("begin:") for line in lines if line.split()[1].startswith("begin:")]


def journals(redis: redis_py.Redis) -> list[str]:
    return [key.decode() for key in redis.scan_iter("rq:journal:*")]


def status(job: Job) -> str:
    return str(job.get_status(refresh=True).value)


def commands(redis: redis_py.Redis) -> Counter[str]:
    """Count the commands that clients and scripts have sent."""
    rows = redis.info("commandstats").items()
    return Counter({name.removeprefix("cmdstat_"): row["calls"] for name, row in rows if name != "cmdstat_info"})


# -- what is kept, and for how long ----------------------------------------------------------------------------------


def test_the_next_attempt_goes_on_after_the_steps_of_the_last_one(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.count_in_steps, str(path), 5, 3, retry=Retry(max=1))
    work(redis)
    assert job.return_value() == ["0", "1", "2", "3", "4"]
    assert begun(path) == ["0", "1", "2", "3", "4"]


def test_the_next_attempt_goes_on_with_the_item_that_was_not_done(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.count_items, str(path), 5, 3, retry=Retry(max=1))
    work(redis)
    assert job.return_value() == 5
    assert begun(path) == ["0", "1", "2", "3", "3", "4"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_coroutine_functions_are_steps_too(redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.count_in_async_steps, str(path), True, retry=Retry(max=1))
    work(redis, WORKER_THREADS=threads)
    assert job.return_value() == ["a", "b", "c"]
    assert Counter(begun(path)) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"result_ttl": 0},
        {"result_ttl": -1},
        {"on_success": Callback(tasks.on_success)},
        {"repeat": Repeat(times=1)},
    ],
    ids=["plain", "no result", "for ever", "by RQ's code", "repeated"],
)
def test_a_job_that_has_succeeded_has_no_journal_and_its_next_run_begins_anew(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.count_in_steps, str(path), 2, **options)
    work(redis)
    assert begun(path) == ["0", "1"] * (1 + ("repeat" in options))
    assert journals(redis) == []
    assert not redis.hexists(job.key, "journal")
    queue.enqueue(tasks.count_in_steps, str(path), 2, job_id=job.id)
    work(redis)
    assert begun(path)[-2:] == ["0", "1"]
    assert journals(redis) == []


def test_a_job_with_dependents_has_no_journal_either(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    parent = queue.enqueue(tasks.count_in_steps, str(path), 2)
    queue.enqueue(tasks.add, 1, 2, depends_on=parent)
    work(redis)
    assert (status(parent), journals(redis)) == ("finished", [])


def test_a_callback_that_fails_leaves_the_steps_to_the_next_attempt(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    callback = Callback(tasks.raising_callback)
    job = queue.enqueue(tasks.count_in_steps, str(path), 2, on_success=callback, retry=Retry(max=1))
    work(redis)
    assert (status(job), begun(path)) == ("failed", ["0", "1"])
    assert lives(redis, f"rq:journal:{job.id}", redis.ttl(job.key))


@pytest.mark.parametrize(("failure_ttl", "lives_for"), [(None, YEAR), (600, 600), (-1, MONTH), (0, -2)])
@pytest.mark.parametrize("by_rq", [False, True], ids=["by our script", "by RQ's code"])
def test_a_dead_letter_keeps_its_journal_as_long_as_it_lives(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, failure_ttl: int | None, lives_for: int, by_rq: bool
) -> None:
    options = {"on_failure": Callback(tasks.on_failure)} if by_rq else {}
    job = queue.enqueue(tasks.count_in_steps, str(tmp_path / "j"), 5, 3, failure_ttl=failure_ttl, **options)
    work(redis)
    if by_rq and failure_ttl == 0:
        assert 0 < redis.ttl(f"rq:journal:{job.id}") <= MONTH, "RQ deletes the job and knows nothing of it"
        return
    assert lives(redis, f"rq:journal:{job.id}", lives_for)
    if lives_for > 0 and failure_ttl != -1:
        assert lives(redis, job.key, lives_for)


def test_nothing_is_left_for_ever_whatever_becomes_of_the_job(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    """RQ's own deletion knows nothing of a journal: it ends by its time to live."""
    deleted, discarded, purged = (
        queue.enqueue(tasks.count_in_steps, str(tmp_path / "j"), 5, 3, failure_ttl=-1) for _ in range(3)
    )
    stopped = queue.enqueue(tasks.delete_in_a_step)
    work(redis)
    assert not redis.exists(stopped.key)
    deleted.delete()
    letters = box(redis).letters([discarded.id, purged.id])
    assert actions(redis).discard(letters) == [True, True]
    left = journals(redis)
    assert f"rq:journal:{discarded.id}" not in left
    assert f"rq:journal:{purged.id}" not in left
    assert all(0 < redis.ttl(key) <= MONTH for key in left)


def test_another_job_of_the_same_id_begins_anew(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = queue.enqueue(tasks.count_in_steps, str(path), 5, 3, job_id="report")
    work(redis)
    assert status(first) == "failed"
    assert record(redis, "report")["journal"] == "3 steps kept, the last one 'step:2'"
    again = queue.enqueue(tasks.count_in_steps, str(path), 3, job_id="report")
    work(redis)
    assert (status(again), begun(path)) == ("finished", ["0", "1", "2", "0", "1", "2"])
    queue.enqueue(tasks.boom, job_id="report")
    work(redis)
    assert "journal" not in record(redis, "report")


@pytest.mark.parametrize("how", ["ours", "rq requeue", "fresh"])
def test_a_replay_goes_on_unless_it_is_to_begin_anew(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.count_in_steps, str(path), 5, 3, failure_ttl=600)
    work(redis)
    assert ids(redis) == [job.id]
    if how == "rq requeue":
        job.requeue()
    else:
        assert actions(redis).replay(box(redis).letters([job.id]), fresh=how == "fresh") == [True]
        assert lives(redis, f"rq:journal:{job.id}", -2 if how == "fresh" else MONTH)
    job.meta = {}
    work(redis)  # a replay is a first attempt again: it fails in the same place
    assert begun(path) == ["0", "1", "2", *(["0", "1", "2"] if how == "fresh" else [])]
    assert status(job) == "failed"


# -- what it costs ---------------------------------------------------------------------------------------------------


def spent(redis: redis_py.Redis, act: Callable[[], object]) -> Counter[str]:
    before = commands(redis)
    act()
    return commands(redis) - before


def test_a_step_costs_one_command_and_a_job_without_steps_none(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a journal asks goes through one client; the scripts of claims and outcomes are the same as ever."""
    path, sent = tmp_path / "journal", []
    send = _Interruptible.execute_command
    monkeypatch.setattr(
        _Interruptible, "execute_command", lambda self, *args: (sent.append(args), send(self, *args))[1]
    )

    def ran(*call: Any, **options: Any) -> int:
        sent.clear()
        queue.enqueue(*call, **options)
        work(redis)
        return len(sent)

    ran(tasks.count_in_steps, str(path), 1)  # the server may not have the script yet
    assert ran(tasks.add, 1, 2) == 0
    assert ran(tasks.count_in_steps, str(path), 0) == 0
    assert ran(tasks.boom, job_id="failed") == 0
    assert not redis.hexists("rq:job:failed", "journal")
    assert ran(tasks.count_in_steps, str(path), 10) == 10
    assert ran(tasks.count_items, str(path), 10) == 10
    assert ran(tasks.count_in_steps, str(path), 10, 5, retry=Retry(max=1)) == 11, "the second run reads what is kept"


# -- who may write ---------------------------------------------------------------------------------------------------


def claimed(redis: redis_py.Redis, name: str = "ann") -> tuple[Claims, Claim]:
    register(redis, name)
    desks = desk(redis, name)
    [claim] = desks.settle_and_claim([], 1).claims
    return desks, claim


def store_of(redis: redis_py.Redis, claims: Claims, claim: Claim, stopping: bool = False) -> RedisStore:
    slot = Scoreboard(max_consumers=1).consumers[0]
    slot.begin_job(claim.job_id, claim.execution_id, 60)
    return JournalStores(redis, "rq", claims.worker_name, slot=slot, stopping=lambda: stopping).of(claim)


def test_a_stale_run_cannot_write_a_step_or_move_a_cursor(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    ann, claim = claimed(redis)
    run = Journal(store_of(redis, ann, claim))
    run.keep("first", 1)
    assert ann.release([claim]) == []
    bob, taken = claimed(redis, "bob")
    successor = Journal(store_of(redis, bob, taken))
    assert successor.kept("first") is not None
    successor.keep("second", "bob's")
    before = redis.hgetall("rq:journal:a")
    for write in (lambda: run.keep("second", "ann's"), lambda: run.move("pages", "7")):
        with pytest.raises(ClaimLost) as lost:
            write()
        assert lost.value.how == "taken over"
    assert redis.hgetall("rq:journal:a") == before
    successor.keep("third", 3)
    assert [entry.name for entry in box(redis).journal("a")] == ["first", "second", "third"]


def test_keeping_a_step_begins_the_count_of_crashes_and_stops_anew(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    redis.hset("rq:job:a", mapping={"crashes": 2, "handbacks": 9, "attempts": 2})
    ann, claim = claimed(redis)
    Journal(store_of(redis, ann, claim)).keep("first", 1)
    assert redis.hmget("rq:job:a", "crashes", "handbacks", "attempts") == [None, None, b"2"]


def test_what_somebody_else_has_left_under_the_key_is_told_in_words(redis: redis_py.Redis, queue: Queue) -> None:
    job = queue.enqueue(tasks.step_that_returns, "a", 1)
    redis.set(f"rq:journal:{job.id}", "somebody's")
    redis.hset(job.key, "journal", redis.hget(job.key, "created_at") + b' {"steps": 1}')
    work(redis)
    message = record(redis, job.id)["message"]
    assert message.startswith("Redis does not answer as it should, so what its steps have kept cannot be read. ")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1, 2}, "The step 'a' returned a set that is no JSON"),
        ("x" * 1000, "The step 'a' returned 1002 B of JSON, and 500 B are the most (WORKER_MAX_RESULT_BYTES"),
    ],
)
def test_what_cannot_be_kept_ends_the_job_in_a_sentence_without_further_attempts(
    redis: redis_py.Redis, queue: Queue, value: Any, sentence: str
) -> None:
    job = queue.enqueue(tasks.step_that_returns, "a", value, retry=Retry(max=3))
    work(redis, WORKER_MAX_RESULT_BYTES="500")
    assert record(redis, job.id)["reason"] == "permanent"
    assert record(redis, job.id)["message"].startswith(sentence)


# -- how a run is left -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_job_that_is_canceled_or_deleted_ends_at_its_next_step(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, threads: str
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.steps_and_look, str(path), retry=Retry(max=3))
    monkeypatch.setattr(tasks, "observer", lambda connection: getattr(Job.fetch(job.id, connection), how)())
    work(redis, WORKER_THREADS=threads)
    assert begun(path) == ["first", "second"], "what it did in the meantime is not kept, and nothing follows"
    assert ids(redis) == []
    if how == "cancel":
        assert status(job) == "canceled"
        assert redis.hget(job.key, "attempts") is None
    else:
        assert not redis.exists(job.key)
    claimed_everything_back(redis)


@pytest.mark.parametrize("how", ["cancel", "stop-job"])
def test_a_check_ends_a_job_that_swallows_everything_else(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(tasks.checks_until_it_ends, str(path), job_timeout=60)

    def end_it() -> None:
        eventually(path.exists)
        if how == "cancel":
            Job.fetch(job.id, connection=redis).cancel()
        else:
            send_stop_job_command(redis, job.id)

    ender = Thread(target=end_it)
    ender.start()
    work(redis)
    ender.join()
    assert status(job) == ("canceled" if how == "cancel" else "stopped")
    assert ids(redis) == []
    claimed_everything_back(redis)


def test_checks_ask_redis_once_a_second_at_most(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue(redis, "default", "a")
    ann, claim = claimed(redis)
    store = store_of(redis, ann, claim)
    now = time.monotonic()
    monkeypatch.setattr("worker.consumer.journal_store.monotonic", lambda: now)
    store.look()
    assert spent(redis, lambda: [store.look() for _ in range(50)])["evalsha"] == 0
    now += 1.1
    assert spent(redis, lambda: [store.look() for _ in range(50)])["evalsha"] == 1


def test_a_context_says_when_the_job_must_have_ended_and_whether_the_service_stops(
    redis: redis_py.Redis, queue: Queue
) -> None:
    job = queue.enqueue(tasks.add, 1, 2)
    _, claim = claimed(redis)
    slot = Scoreboard(max_consumers=1).consumers[0]
    stops: list[int] = []
    stores = JournalStores(redis, "rq", "ann", slot=slot, stopping=lambda: bool(stops))
    ctx = JobContext.for_job(job, redis, "default", 1, journals=stores, claim=claim)
    slot.begin_job(claim.job_id, claim.execution_id, 0)
    assert (ctx.deadline, ctx.stopping) == (float("inf"), False)
    slot.begin_job(claim.job_id, claim.execution_id, 50)
    assert 0 < ctx.deadline - time.monotonic() <= 50
    stops.append(1)
    assert ctx.stopping
    slot.give_order(Order.STOP, "another job")
    assert not ctx._store.ordered
    slot.give_order(Order.STOP, claim.job_id)
    assert ctx._store.ordered


def test_a_context_without_a_consumer_has_no_steps(redis: redis_py.Redis, queue: Queue) -> None:
    ctx = JobContext.for_job(queue.enqueue(tasks.add, 1, 2), redis, "default", 1)
    with pytest.raises(RuntimeError, match="made without journals"):
        ctx.step("a", lambda: 1)


def test_a_run_reads_what_was_written_in_the_order_of_time(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    ann, claim = claimed(redis)
    run = Journal(store_of(redis, ann, claim))
    for name in ("z", "a", "m"):
        run.keep(name, name.upper())
    run.move("pages", "[1]")
    read = store_of(redis, ann, claim).read()
    assert [entry[1:] for entry in read] == [
        ("step", "z", '"Z"'),
        ("step", "a", '"A"'),
        ("step", "m", '"M"'),
        ("cursor", "pages", "[1]"),
    ]
    assert all(isinstance(entry, Entry) and abs(entry.at - time.time()) < 60 for entry in read)
    assert json.loads(redis.hget("rq:job:a", "journal").partition(b" ")[2]) == {
        "steps": 3,
        "last": "m",
        "cursors": {"pages": "[1]"},
    }
