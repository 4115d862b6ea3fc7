"""An outcome that the server does not take is found and buried in words; its neighbours are settled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import letters, tasks
from tests.support.worker import consumer

SMALLEST_LIMIT = 1_048_576  #: bytes; the least that Redis takes for proto-max-bulk-len


@pytest.fixture
def small_requests(redis: redis_py.Redis) -> Iterator[None]:
    """The server hangs up over an argument above 1 MiB, as a provider's request limit does."""
    before = redis.config_get("proto-max-bulk-len")["proto-max-bulk-len"]
    redis.config_set("proto-max-bulk-len", SMALLEST_LIMIT)
    yield
    redis.config_set("proto-max-bulk-len", before)


def assert_only_one_is_buried(redis: redis_py.Redis, queue: Queue, jobs: list[Job], culprit: int) -> None:
    statuses = [job.get_status(refresh=True).value for job in jobs]
    assert statuses == ["failed" if place == culprit else "finished" for place in range(len(jobs))]
    assert letters.record(redis, jobs[culprit].id)["reason"] == "outcome_refused"
    assert queue.count == 0
    assert queue.started_job_registry.get_job_ids(cleanup=False) == []


@pytest.mark.parametrize("culprit", [0, 2, 4])
def test_a_result_that_the_server_hangs_up_over_is_buried_and_its_neighbours_finish(
    redis: redis_py.Redis, small_requests: None, culprit: int
) -> None:
    queue = Queue("default", connection=redis)
    sizes = [2 if place == culprit else 0 for place in range(5)]
    jobs = [queue.enqueue(tasks.noise, megabytes) for megabytes in sizes]
    consumer(redis).work(burst=True)
    assert_only_one_is_buried(redis, queue, jobs, culprit)


@pytest.mark.parametrize("culprit", [0, 2, 4])
def test_a_job_whose_results_hold_another_type_is_buried_and_its_neighbours_finish(
    redis: redis_py.Redis, culprit: int
) -> None:
    queue = Queue("default", connection=redis)
    jobs = [queue.enqueue(tasks.add, 1, 2) for _ in range(5)]
    redis.set(f"rq:results:{jobs[culprit].id}", "not a stream")
    consumer(redis).work(burst=True)
    assert_only_one_is_buried(redis, queue, jobs, culprit)
