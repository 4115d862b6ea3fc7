"""What a consumer does with jobs: RQ's semantics, the gates before a payload, retries and dead letters."""

from __future__ import annotations

import io
import json
import os
import pickle
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result

from tests.support import letters, tasks
from tests.support.engine import finished, lives
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker.dispatcher.scheduled_jobs import move_due
from worker.engine.records import ClaimReply, Outcome

LETTERS = "rq:queue:dead-letter"


def record(job: Job) -> dict[str, Any]:
    """The dead letter's record, read without unpickling anything; the one in meta must say the same."""
    written = letters.record(job.connection, job.id)
    assert job.get_meta(refresh=True)["dead_letter"] == written
    return written


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_a_job_runs_and_its_result_can_be_read_as_usual(redis: redis_py.Redis, serializer: str) -> None:
    queue = Queue("default", connection=redis, serializer=serializer)
    job = queue.enqueue(tasks.add, 1, right=2)
    assert consumer(redis).work(burst=True) is True
    job.refresh()
    assert (job.get_status(), job.return_value()) == ("finished", 3)
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.started_at <= job.ended_at
    assert job.id in FinishedJobRegistry(queue=queue)
    assert StartedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []
    assert 400 < redis.ttl(job.key) <= 500


def test_a_plain_json_payload_of_a_rest_producer_runs(redis: redis_py.Redis) -> None:
    redis.sadd("rq:queues", "rq:queue:default")
    redis.hset(
        "rq:job:rest-1",
        mapping={
            "data": json.dumps(["tests.support.tasks.add", None, [2], {"right": 3}]),
            "created_at": "2026-11-22T19:17:05.123Z",
            "enqueued_at": "2026-11-22T19:17:05Z",
            "origin": "default",
            "status": "queued",
            "timeout": "180",
        },
    )
    redis.rpush("rq:queue:default", "rest-1")
    consumer(redis).work(burst=True)
    assert Job.fetch("rest-1", connection=redis, serializer="json").return_value() == 5


def test_queues_are_served_in_the_order_they_are_named(redis: redis_py.Redis, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    low = [Queue("default", connection=redis).enqueue(tasks.journal, path).id for _ in range(3)]
    high = [Queue("high", connection=redis).enqueue(tasks.journal, path).id for _ in range(3)]
    consumer(redis).work(burst=True)
    assert [line.split()[0] for line in Path(path).read_text().splitlines()] == high + low


def test_async_functions_current_job_and_none_results(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    doubled = queue.enqueue(tasks.double, 21)
    current = queue.enqueue(tasks.current_job_id)
    nothing = queue.enqueue(tasks.set_meta, "colour", "green")
    consumer(redis).work(burst=True)
    assert doubled.return_value() == 42
    assert current.return_value() == current.id
    assert nothing.return_value() is None
    assert nothing.get_status() == "finished"
    assert nothing.get_meta(refresh=True) == {"colour": "green"}


@pytest.mark.parametrize(("result_ttl", "left"), [(0, -2), (-1, -1), (60, 60)])
def test_result_ttl(redis: redis_py.Redis, result_ttl: int, left: int) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1, result_ttl=result_ttl)
    consumer(redis).work(burst=True)
    assert lives(redis, job.key, left)
    assert redis.exists(f"rq:results:{job.id}") == (result_ttl != 0)


def test_a_job_whose_ttl_has_passed_is_skipped(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1, ttl=100)
    redis.delete(job.key)  # what Redis does when the time has come
    assert consumer(redis).work(burst=True) is False
    assert redis.llen("rq:queue:default") == 0


def test_a_failed_job_is_failed_and_dead_lettered_with_its_reason(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom, "no such page", failure_ttl=1000)
    consumer(redis).work(burst=True)
    assert job.get_status() == "failed"
    assert job.id in FailedJobRegistry(queue=queue)
    assert letters.ids(redis) == [job.id]
    assert 900 < redis.ttl(job.key) <= 1000
    written = record(job)
    assert written["reason"] == "failed"
    assert written["exception"] == "ValueError"
    assert written["message"] == "no such page"
    assert written["function"] == "tests.support.tasks.boom"
    assert written["attempts"] == 1
    result = job.latest_result()
    assert result is not None
    assert result.type == Result.Type.FAILED
    assert result.exc_string is not None
    assert "no such page" in result.exc_string
    assert "runner.py" not in result.exc_string, "people look for their own frames"


def test_a_timeout_is_named_as_such(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.sleep, 30, job_timeout=1)
    consumer(redis).work(burst=True)
    assert record(job)["reason"] == "timeout"


def test_the_producers_retries_are_used_up_before_the_job_is_buried(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom, retry=Retry(max=2))
    consumer(redis).work(burst=True)
    job.refresh()
    assert (job.get_status(), job.retries_left) == ("failed", 0)
    assert (record(job)["reason"], record(job)["attempts"]) == ("attempts_exhausted", 3)
    assert letters.ids(redis) == [job.id]


def test_a_delayed_retry_is_stored_as_rq_stores_it(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom, retry=Retry(max=2, interval=[60, 120]))
    before = redis.time()[0]
    consumer(redis).work(burst=True)
    after = redis.time()[0] + 1
    job.refresh()
    assert (job.get_status(), job.retries_left) == ("scheduled", 1)
    due = redis.zscore(ScheduledJobRegistry(queue=queue).key, job.id)
    assert before + 60 <= due <= after + 61, "60 s from then, rounded up"
    assert letters.ids(redis) == []


def test_permanent_errors_go_straight_to_the_dead_letters(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.give_up, retry=Retry(max=5))
    consumer(redis).work(burst=True)
    assert (record(job)["reason"], record(job)["attempts"]) == ("permanent", 1)


def test_the_functions_own_policy_retries_when_the_producer_asked_for_nothing(
    redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = str(tmp_path / "journal")
    job = Queue("default", connection=redis).enqueue(tasks.flaky, path, 3)
    worker = consumer(redis)
    for _ in range(3):
        consumer(redis).work(burst=True)
        move_due(worker.claims, ["default"])
        redis.zadd("rq:scheduled:default", {job.id: 0}, xx=True)
        move_due(worker.claims, ["default"])
    assert job.return_value(refresh=True) == 3
    assert [line.split()[1] for line in Path(path).read_text().splitlines()] == ["attempt-1", "attempt-2", "attempt-3"]


def test_retry_later_waits_at_least_as_long_as_it_was_told(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.busy_server, 90)
    before = redis.time()[0]
    consumer(redis).work(burst=True)
    after = redis.time()[0] + 1
    assert job.get_status() == "scheduled"
    assert before + 90 <= redis.zscore("rq:scheduled:default", job.id) <= after + 91


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, ("touch /tmp/worker-test-was-evil",)


def enqueue_raw(redis: redis_py.Redis, data: bytes, **fields: str) -> Job:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    redis.hset(job.key, mapping={"data": data, **fields})
    return job


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zlib.compress(pickle.dumps(("os.getcwd", None, (), {}))), "refused_function"),
        (zlib.compress(pickle.dumps(("tests.support.tasks.os.getcwd", None, (), {}))), "refused_function"),
        (zlib.compress(pickle.dumps(("tests.support.tasks.nothing", None, (), {}))), "unknown_function"),
        (zlib.compress(pickle.dumps(("tests.support.tasks.add", None, (Evil(),), {}))), "refused_class"),
        (b"\x80garbage", "unreadable_payload"),
        (b"x\x9cgarbage", "unreadable_payload"),
        (b"[not json", "unreadable_payload"),
        (b'["tests.support.tasks.add"]', "unreadable_payload"),
        (b"[3, null, [], {}]", "unreadable_payload"),
    ],
)
def test_what_must_not_or_cannot_run_becomes_a_dead_letter(redis: redis_py.Redis, data: bytes, reason: str) -> None:
    job = enqueue_raw(redis, data)
    good = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    consumer(redis).work(burst=True)
    assert json.loads(redis.hget(job.key, "dead_letter"))["reason"] == reason
    assert letters.ids(redis) == [job.id]
    assert good.get_status() == "finished"
    assert not Path("/tmp/worker-test-was-evil").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "yesterday"},
        {"enqueued_at": "2026-11-22T19:17:05+00:00"},
        {"timeout": "soon"},
        {"status": "wat"},
        {"retries_left": "many"},
        {"result_ttl": "1.5"},
    ],
)
def test_a_hash_on_which_rqs_worker_quits_is_buried_and_the_next_job_runs(
    redis: redis_py.Redis, fields: dict[str, str]
) -> None:
    job = enqueue_raw(redis, zlib.compress(pickle.dumps(("tests.support.tasks.add", None, (1, 1), {}))), **fields)
    good = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    consumer(redis).work(burst=True)
    assert json.loads(redis.hget(job.key, "dead_letter"))["reason"] == "unreadable_hash"
    assert letters.ids(redis) == [job.id]
    assert good.get_status() == "finished"


def test_a_serializer_that_is_not_accepted_is_refused(redis: redis_py.Redis) -> None:
    pickled = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    plain = Queue("default", connection=redis, serializer="json").enqueue(tasks.add, 1, 1)
    consumer(redis, WORKER_SERIALIZERS="json").work(burst=True)
    assert json.loads(redis.hget(pickled.key, "dead_letter"))["reason"] == "refused_serializer"
    assert plain.get_status() == "finished"


def test_requeueing_with_rq_runs_the_job_again_and_the_letter_goes(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom)
    consumer(redis).work(burst=True)
    assert letters.ids(redis) == [job.id]
    FailedJobRegistry(queue=queue).requeue(job.id)
    redis.hset(job.key, "data", zlib.compress(pickle.dumps(("tests.support.tasks.add", None, (1, 1), {}))))
    consumer(redis).work(burst=True)
    assert job.get_status() == "finished"
    assert letters.ids(redis) == []


def test_a_replayed_job_that_fails_again_is_there_once_and_counts_anew(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.boom)
    for _ in range(3):
        consumer(redis).work(burst=True)
        assert letters.ids(redis) == [job.id]
        assert record(job)["attempts"] == 1
        FailedJobRegistry(queue=queue).requeue(job.id)


def test_dependents_callbacks_and_repeats_go_through_rqs_own_code(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    parent = queue.enqueue(tasks.add, 1, 1, on_success=Callback(tasks.on_success))
    child = queue.enqueue(tasks.add, 2, 2, depends_on=parent)
    failing = queue.enqueue(tasks.boom, on_failure=Callback(tasks.on_failure))
    orphan = queue.enqueue(tasks.add, 3, 3, depends_on=failing)
    consumer(redis).work(burst=True)
    assert child.return_value() == 4
    assert redis.get(f"callback:{parent.id}") == b"2"
    assert redis.get(f"callback:{failing.id}") == b"ValueError"
    assert orphan.get_status() == "deferred"
    assert letters.ids(redis) == [failing.id]


def test_a_returned_retry_is_rqs_business_and_ends_as_a_dead_letter(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.returns_retry, 2)
    consumer(redis).work(burst=True)
    assert job.get_status() == "failed"
    assert job.latest_result().type == Result.Type.MAX_RETRIES_EXCEEDED
    assert letters.ids(redis) == [job.id]


def test_a_result_that_cannot_be_serialised_is_noted_as_rq_does(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.unserialisable)
    consumer(redis).work(burst=True)
    assert (job.get_status(), job.return_value()) == ("finished", "Unserializable return value")


def test_max_jobs_leaves_the_rest_on_the_queue(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    for _ in range(20):
        queue.enqueue(tasks.add, 1, 1)
    consumer(redis).work(burst=True, max_jobs=5)
    assert queue.count == 15
    assert StartedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []


def test_suspended_queues_are_left_alone(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    redis.set("rq:suspended", 1)
    assert consumer(redis).work(burst=True) is False
    assert job.get_status() == "queued"


def test_threads_run_jobs_side_by_side(redis: redis_py.Redis, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    queue = Queue("default", connection=redis)
    jobs = [queue.enqueue(tasks.journal_and_meet, path, 8) for _ in range(8)]
    consumer(redis, WORKER_THREADS="8").work(burst=True)
    assert [job.get_status() for job in jobs] == ["finished"] * 8
    words = [line.split()[1] for line in Path(path).read_text().splitlines()]
    assert words[:8] == ["begin"] * 8, "all had begun before the first ended"


def test_a_neighbour_of_a_long_job_is_given_away(redis: redis_py.Redis, tmp_path: Path) -> None:
    """Short jobs earn a batch; when one of it turns out long, the others go back to the queue at once."""
    queue = Queue("default", connection=redis)
    for _ in range(200):
        queue.enqueue(tasks.add, 1, 1)
    path, gate = tmp_path / "journal", tmp_path / "gate"
    long_job = queue.enqueue(tasks.journal_and_wait, str(path), str(gate))
    behind = [queue.enqueue(tasks.add, 1, 1) for _ in range(10)]
    first = os.fork()
    if first == 0:
        try:
            with redis_py.Redis(port=redis.connection_pool.connection_kwargs["port"]) as own:
                consumer(own).work(burst=True)
        finally:
            os._exit(0)
    try:
        eventually(lambda: tasks.runs(path)[long_job.id])
        with redis_py.Redis(port=redis.connection_pool.connection_kwargs["port"]) as second:
            eventually(lambda: redis.llen("rq:queue:default") == 10)
            consumer(second).work(burst=True)
        assert long_job.get_status() == "started", "the long job still runs while its neighbours are done"
        assert [job.get_status() for job in behind] == ["finished"] * 10
    finally:
        gate.touch()
        os.waitpid(first, 0)
    assert long_job.get_status() == "finished"


@pytest.mark.parametrize("function", [tasks.speechless, tasks.odd_characters])
@pytest.mark.parametrize("retry", [None, Retry(max=1)])
def test_an_exception_whose_text_cannot_be_shown_or_stored_is_the_jobs_failure_only(
    redis: redis_py.Redis, function: Any, retry: Retry | None
) -> None:
    job = Queue("default", connection=redis).enqueue(function, retry=retry)
    good = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    consumer(redis).work(burst=True)
    assert job.get_status() == "failed"
    assert letters.ids(redis) == [job.id]
    assert job.latest_result().exc_string
    assert good.get_status() == "finished"


def test_a_job_on_which_rqs_own_finishing_code_chokes_is_buried_and_the_next_one_runs(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.odd_characters, on_failure=Callback(tasks.on_failure))  # RQ cannot encode its traceback
    child = queue.enqueue(tasks.add, 1, 1, depends_on=job)
    good = queue.enqueue(tasks.add, 1, 1)
    consumer(redis).work(burst=True)
    assert job.get_status() == "failed"
    assert letters.ids(redis) == [job.id]
    assert (child.get_status(), good.get_status()) == ("deferred", "finished")


def test_no_outcome_gets_lost_when_both_threads_settle_at_once(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The housekeeper settles behind a long job; the job may end just then, and the main thread settles too."""
    jobs = [Queue("default", connection=redis).enqueue(tasks.add, 1, 1) for _ in range(2)]
    worker = consumer(redis)
    worker._enter()
    try:
        first, second = worker.claims.settle_and_claim([], 2).claims
        worker.in_flight.finish(finished(first))
        late, settle_and_claim = [finished(second)], worker.claims.settle_and_claim

        def slowly(outcomes: list[Outcome], capacity: int, *, others_running: bool) -> ClaimReply:
            taken = settle_and_claim(outcomes, capacity, others_running=others_running)
            for outcome in late:  # a job that ends while the answer is on its way
                worker.in_flight.finish(outcome)
            late.clear()
            time.sleep(0.05)
            return taken

        monkeypatch.setattr(worker.claims, "settle_and_claim", slowly)
        threads = [threading.Thread(target=worker.exchanger.settle) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        worker.exchanger.settle()
    finally:
        worker._leave()
    assert [job.get_status(refresh=True) for job in jobs] == ["finished", "finished"]


def test_it_runs_where_standard_error_is_no_file(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, or under click's test runner, with which RQ tests its own command line."""
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    consumer(redis).work(burst=True)
    assert job.get_status() == "finished"


def test_a_burst_does_not_wait_for_jobs_when_another_thread_has_settled_what_was_left(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks at what the consumer has in hand; it would sleep for minutes."""
    worker = consumer(redis)
    looks, has_nothing_left = [False], worker.has_nothing_left
    monkeypatch.setattr(worker, "has_nothing_left", lambda reply: looks.pop() if looks else has_nothing_left(reply))
    worker.work(burst=True)
    assert looks == []
