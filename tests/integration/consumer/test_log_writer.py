"""What jobs say is in Redis while they run and as long as they are kept, for few commands, said by the run alone."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry as Retries
from rq import Callback, Queue, Retry
from rq.job import Job
from structlog.testing import capture_logs

from tests.support import tasks
from tests.support.engine import desk, enqueue, lives, register
from tests.support.letters import MONTH, actions, box
from tests.support.waiting import eventually
from tests.support.worker import work
from worker.consumer import log_writer
from worker.consumer.journal_store import _Interruptible
from worker.consumer.log_writer import LogWriter, LogWriters
from worker.engine.records import Claim
from worker.job_log import MOST_LINES, JobLog, parsed
from worker.redis import scripts
from worker.redis.calls import ScriptCalls


def log_of(redis: redis_py.Redis, job_id: str) -> JobLog:
    return parsed(redis.lrange(f"rq:log:{job_id}", 0, -1), redis.hget(f"rq:job:{job_id}", "created_at") or b"")


def said(redis: redis_py.Redis, job_id: str) -> list[tuple[int, int | None, str]]:
    return [line[1:] for line in log_of(redis, job_id).lines]


# -- what is kept, and for how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ", [{}, {"WORKER_THREADS": "2"}, {"WORKER_ISOLATION": "job"}], ids=["process", "threads", "job"]
)
def test_lines_and_progress_can_be_read_while_the_job_runs(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    job = queue.enqueue(tasks.say, "begun", "ä on its way", error="no", retry=Retry(max=1))
    work(redis, **environ)
    expected = [(1, None, "begun"), (1, 50, "half"), (1, None, "ä on its way")]
    expected += [(2, percent, text) for _, percent, text in expected]
    assert said(redis, job.id) == expected
    assert all(abs(line.at - redis.time()[0]) < 120 for line in log_of(redis, job.id).lines)
    seen: list[Any] = []
    monkeypatch.setattr(
        tasks, "observer", lambda _: eventually(lambda: said(redis, "live")) and seen.append(said(redis, "live"))
    )
    queue.enqueue(tasks.say, "a", "b", job_id="live", result_ttl=600)
    if environ.get("WORKER_ISOLATION") != "job":  # what is patched here is not patched there
        work(redis, **environ)
        assert seen == [[(1, None, "a"), (1, 50, "half"), (1, None, "b")]]


def test_a_log_lives_as_long_as_its_job(redis: redis_py.Redis, queue: Queue) -> None:
    rows: list[tuple[dict[str, Any], int]] = [
        ({"result_ttl": 600}, 600),
        ({"result_ttl": -1}, -1),
        ({"result_ttl": 0}, -2),
        ({"error": "x", "failure_ttl": 700}, 700),
        ({"error": "x", "failure_ttl": 0}, -2),
        ({"error": "x", "on_failure": Callback(tasks.on_failure), "failure_ttl": 800}, 800),
        ({"error": "x", "retry": Retry(max=1, interval=900)}, MONTH),
    ]
    jobs = [queue.enqueue(tasks.say, "a", **options) for options, _ in rows]
    work(redis)
    for job, (options, lives_for) in zip(jobs, rows, strict=True):
        assert lives(redis, f"rq:log:{job.id}", lives_for), options


def test_a_log_goes_with_a_letter_that_is_discarded_and_a_new_job_of_the_id_begins_anew(
    redis: redis_py.Redis, queue: Queue
) -> None:
    for _ in range(2):
        queue.enqueue(tasks.say, "first", error="x", job_id="a")
        work(redis)
        assert said(redis, "a") == [(1, None, "first")]
    queue.enqueue(tasks.add, 1, 2, job_id="a")
    assert said(redis, "a") == [], "what the earlier job has left is not shown"
    queue.enqueue(tasks.say, "b", error="x", job_id="b")
    work(redis)
    assert actions(redis).discard(box(redis).letters(["b"])) == [True]
    assert not redis.exists("rq:log:b")


def test_a_process_that_the_job_forks_may_say_something_too(redis: redis_py.Redis, queue: Queue) -> None:
    job = queue.enqueue(tasks.say_from_a_fork)
    work(redis)
    assert sorted(text for _, _, text in said(redis, job.id)) == ["its child's", "mine"]


# -- what it costs ---------------------------------------------------------------------------------------------------


def test_a_job_that_says_nothing_costs_nothing_and_one_that_says_much_a_command_a_second(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    send = _Interruptible.execute_command
    monkeypatch.setattr(
        _Interruptible, "execute_command", lambda self, *args: (sent.append(args), send(self, *args))[1]
    )

    def ran(*call: Any) -> tuple[Job, int]:
        sent.clear()
        job = queue.enqueue(*call)
        work(redis)
        return job, len([args for args in sent if args[1] == scripts.LOG.sha])

    ran(tasks.say, "a")  # the server may not have the script yet
    assert ran(tasks.add, 1, 2)[1] == 0
    monkeypatch.setattr(log_writer, "SEND_SECONDS", 3600.0)
    assert ran(tasks.say, *map(str, range(150)))[1] == 1
    monkeypatch.setattr(log_writer, "SEND_SECONDS", 0.1)
    began = time.monotonic()
    job, commands = ran(tasks.say_much, 0.5)
    assert 2 <= commands <= (time.monotonic() - began) / 0.1 + 1
    kept, count = log_of(redis, job.id), job.return_value()
    assert (len(kept.lines), kept.left_out) == (MOST_LINES, count - MOST_LINES)
    assert (kept.lines[0].text, kept.lines[-1].text) == (f"line {count - MOST_LINES + 1}", f"line {count}")


# -- who may write, and trouble ----------------------------------------------------------------------------------------


def claimed(redis: redis_py.Redis, name: str) -> Claim:
    register(redis, name)
    [claim] = desk(redis, name).settle_and_claim([], 1).claims
    return claim


def writer_of(redis: redis_py.Redis, claim: Claim, name: str) -> LogWriter:
    return LogWriters(ScriptCalls(redis, "rq"), name).of(claim)


def test_a_stale_run_says_nothing_any_more(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    taken = claimed(redis, "ann")
    ann = writer_of(redis, taken, "ann")
    ann.add("ann's")
    ann.send()
    desk(redis, "ann").release([taken])
    bob = writer_of(redis, claimed(redis, "bob"), "bob")
    bob.add("bob's")
    bob.send()
    for text in ("late", "later"):
        ann.add(text)
        ann.send()
    ann.close(500)
    bob.close(None)
    assert said(redis, "a") == [(1, None, "ann's"), (1, None, "bob's")]
    redis.delete("rq:job:a", "rq:log:a")
    bob = writer_of(redis, taken, "bob")
    bob.add("to a job that was deleted")
    bob.close(None)
    assert not redis.exists("rq:log:a")


def test_lines_wait_while_redis_is_away_and_the_job_does_not(redis: redis_py.Redis) -> None:
    enqueue(redis, "default", "a")
    nowhere = redis_py.Redis(port=1, retry=Retries(NoBackoff(), 0))
    writer = writer_of(nowhere, claimed(redis, "ann"), "ann")
    with capture_logs() as logged:
        for number in range(MOST_LINES + 20):
            writer.add(number)
            if number % 50 == 0:
                writer.send()
    assert [entry["event"] for entry in logged] == ["job.log_waits"]
    writer._writers.calls = ScriptCalls(redis, "rq")
    eventually(lambda: redis.exists("rq:log:a"))
    writer.add("it is back")
    writer.close(None)
    kept = log_of(redis, "a")
    assert [kept.lines[0].text, kept.lines[-1].text, kept.left_out] == ["21", "it is back", 21]
    writer = writer_of(nowhere, claimed_again(redis), "ann")
    with capture_logs() as logged:
        writer.add("never heard")
        writer.send()
        writer.close(None)
    assert [(entry["event"], entry.get("lines")) for entry in logged] == [("job.log_waits", None), ("job.log_lost", 1)]


def claimed_again(redis: redis_py.Redis) -> Claim:
    enqueue(redis, "default", "b")
    return claimed(redis, "ann")
