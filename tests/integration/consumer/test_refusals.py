"""An outcome that the server does not take is found and buried in words; its neighbours are settled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.job import Job
from structlog.testing import capture_logs

from tests.support import engine, letters, tasks
from tests.support.proxy import Moment, Proxy
from tests.support.server import RedisServer
from tests.support.worker import consumer
from worker.redis import scripts

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


class BadNetwork(Proxy):
    """Cuts the connection instead of passing on what became of a job, so many times."""

    def __init__(self, upstream_port: int, job_id: str, times: int) -> None:
        super().__init__(upstream_port)
        self._job_id = job_id.encode()
        self.left = times

    def fate(self, command: bytes) -> Moment | None:
        if not self.left or self._job_id not in command or scripts.SETTLE.sha.encode() not in command:
            return None
        self.left -= 1
        return "before"


def test_a_small_result_is_not_blamed_for_a_bad_network(server: RedisServer, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
    with BadNetwork(server.port, job.id, 4) as network, redis_py.Redis.from_url(network.url) as client:
        consumer(client).work(burst=True)
    assert network.left == 0
    assert job.get_status() == "finished"


def test_all_that_is_done_is_settled_at_a_stop_however_many_requests_that_takes(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    jobs = [queue.enqueue(tasks.noise, 1) for _ in range(4)]
    redis.set(f"rq:results:{jobs[1].id}", "not a stream")
    alone = consumer(redis, WORKER_THREADS="4")
    alone.work(burst=True, max_jobs=4)
    odd = jobs.pop(1)
    assert odd.get_status(refresh=True).value == "failed"
    # One that no thread had begun when the fourth was over has gone back; none is left to be rescued and run again.
    assert {job.get_status(refresh=True).value for job in jobs} <= {"finished", "queued"}
    assert queue.started_job_registry.get_job_ids(cleanup=False) == []


def test_a_dead_workers_job_whose_keys_hold_another_type_is_buried_and_the_others_are_rescued(
    redis: redis_py.Redis,
) -> None:
    queue = Queue("default", connection=redis)
    odd, other = (queue.enqueue(tasks.add, 1, 2) for _ in range(2))
    redis.hset(odd.key, "crashes", 2)
    for name in ("ann", "bob"):
        engine.register(redis, name)
        assert len(engine.desk(redis, name, "default").settle_and_claim([], 1).claims) == 1
        redis.delete(f"rq:worker:{name}")
    redis.set(f"rq:results:{odd.id}", "not a stream")
    redis.set(f"rq:executions:{odd.id}", "no set")
    assert engine.rescuer(redis, "default").rescue_orphans() == 2
    assert letters.record(redis, odd.id)["reason"] == "crashed"
    assert (odd.get_status(refresh=True), other.get_status(refresh=True)) == ("failed", "queued")


@pytest.mark.parametrize(
    ("key", "ends"),
    [
        ("job:ODD:dependents", "failed"),
        ("job::ODD:dependencies", "finished"),
        ("results:ODD", "failed"),
        ("executions:ODD", "finished"),
        ("wip:default", "queued"),
        ("finished:default", "finished"),
        ("failed:default", "finished"),
        ("deferred:default", "finished"),
        ("scheduled:default", "finished"),
    ],
)
def test_a_key_that_holds_another_type_ends_its_job_or_is_named_and_the_others_run(
    redis: redis_py.Redis, key: str, ends: str
) -> None:
    queue, high = Queue("default", connection=redis), Queue("high", connection=redis)
    odd = queue.enqueue(tasks.add, 1, 2)
    neighbours = [queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.add, 1, 2, on_success=Callback(tasks.on_success))]
    failing = [queue.enqueue(tasks.boom), queue.enqueue(tasks.boom, retry=Retry(max=1, interval=60))]
    others = [high.enqueue(tasks.add, 1, 2), high.enqueue(tasks.boom)]
    redis.set("rq:" + key.replace("ODD", odd.id), "something else")
    with capture_logs() as lines:
        consumer(redis).work(burst=True)
    assert [job.get_status(refresh=True).value for job in others] == ["finished", "failed"]
    assert odd.get_status(refresh=True).value == ends
    if key == "wip:default":
        assert [line["event"] for line in lines if line["log_level"] == "error"].count("queue.unusable") == 1
        return
    assert [job.get_status(refresh=True).value for job in neighbours] == ["finished", "finished"]
    assert failing[0].get_status(refresh=True).value == "failed"
    assert failing[1].get_status(refresh=True).value == ("failed" if key == "scheduled:default" else "scheduled")
    assert queue.count == 0
    assert queue.started_job_registry.get_job_ids(cleanup=False) == []
