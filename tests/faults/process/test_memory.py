"""Memory: consumers are replaced between jobs before they grow too large, and a kill by the kernel is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import control_groups, tasks
from tests.support.letters import record
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import SLACK_SECONDS

LIMIT_BYTES = 150 * 2**20


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_consumer_is_replaced_after_so_many_jobs_and_none_is_lost(
    server: RedisServer, queue: Queue, threads: str
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_THREADS=threads, WORKER_MAX_JOBS="10") as service:
        jobs = queue.enqueue_many([Queue.prepare_data(tasks.add, (1, 2)) for _ in range(35)])
        until(lambda: all(job.get_status(refresh=True) == "finished" for job in jobs), service=service)
        until(lambda: len(service.of("child.spawned", role="consumer")) >= 4, service=service)
        assert {event["status"] for event in service.of("child.exited", role="consumer")} == {0}
        assert service.of("child.exited", role="consumer")[0]["seconds"] < 10 + SLACK_SECONDS
        assert service.terminate() == 0


def test_a_consumer_that_has_grown_is_replaced_after_its_job_not_during_it(
    server: RedisServer, queue: Queue, redis: redis_py.Redis
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_MAX_MEMORY_MB="200") as service:
        before = service.wait_for("child.spawned", role="consumer")["child"]
        jobs = [queue.enqueue(tasks.grow, 250), queue.enqueue(tasks.add, 1, 2)]
        until(lambda: all(job.get_status(refresh=True) == "finished" for job in jobs), service=service)
        until(lambda: service.children() not in ([], [before]), service=service)
        assert service.of("child.exited", child=before)[0]["status"] == 0
        assert service.of("job.rescued") == []
        assert service.terminate() == 0


@pytest.fixture
def control_group() -> Iterator[Path]:
    with control_groups.limited_to(LIMIT_BYTES) as (group, _):
        yield group


def test_a_kill_by_the_kernel_for_want_of_memory_is_named_and_the_job_is_buried_in_the_end(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, control_group: Path
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_MAX_CRASHES="2", cgroup=control_group) as service:
        service.wait_for("child.spawned", role="consumer")
        job, other = queue.enqueue(tasks.grow, 1000), queue.enqueue(tasks.add, 1, 2)
        until(lambda: job.get_status(refresh=True) == "failed", 90, service=service)
        until(lambda: other.get_status(refresh=True) == "finished", service=service)
        exits = [event for event in service.of("child.exited", role="consumer") if event["status"] == -signal.SIGKILL]
        assert len(exits) == 2
        assert all("the container's memory of 150 MB was used up" in event["how"] for event in exits)
        written = record(redis, job.id)
        assert written["reason"] == "crashed"
        assert "killed by the kernel: the container's memory of 150 MB was used up" in written["message"]
        os.kill(until(service.children, service=service)[0], signal.SIGKILL)
        until(lambda: len(service.of("child.exited", status=-9)) == 3, service=service)
        assert "killed by hand" in service.of("child.exited", status=-9)[2]["how"], "the next kill is no want of memory"
        assert service.terminate() == 0
