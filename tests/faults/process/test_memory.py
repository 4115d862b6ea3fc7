"""Memory: consumers are replaced between jobs before they grow too large, and a kill by the kernel is named."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import SLACK_SECONDS
from worker.process import memory

LIMIT_BYTES = 150 * 2**20


@pytest.fixture
def queue(redis: redis_py.Redis) -> Queue:
    return Queue("default", connection=redis)


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
def limited() -> Iterator[Path]:
    """A control group of our own with little memory, where the machine lets us make one (cgroup version 1 or 2)."""
    name = f"worker-test-{uuid.uuid4().hex[:8]}"
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / name
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        yield group
        until(lambda group=group: not (group / "cgroup.procs").read_text().strip(), what="an empty control group")
        group.rmdir()
        return
    pytest.skip("making a control group with a memory limit needs root on Linux")


def test_a_kill_by_the_kernel_for_want_of_memory_is_named_and_the_job_is_buried_in_the_end(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, limited: Path
) -> None:
    with Service(server.url, WORKER_PROCESSES="1", WORKER_MAX_CRASHES="2", cgroup=limited) as service:
        service.wait_for("child.spawned", role="consumer")
        job, other = queue.enqueue(tasks.grow, 1000), queue.enqueue(tasks.add, 1, 2)
        until(lambda: job.get_status(refresh=True) == "failed", 90, service=service)
        until(lambda: other.get_status(refresh=True) == "finished", service=service)
        exits = [event for event in service.of("child.exited", role="consumer") if event["status"] == -signal.SIGKILL]
        assert len(exits) == 2
        assert all("the container's memory of 150 MB was used up" in event["how"] for event in exits)
        record = json.loads(redis.hget(job.key, "dead_letter") or "{}")
        assert record["reason"] == "crashed"
        assert "killed by the kernel: the container's memory of 150 MB was used up" in record["message"]
        os.kill(until(service.children, service=service)[0], signal.SIGKILL)
        until(lambda: len(service.of("child.exited", status=-9)) == 3, service=service)
        assert "killed by hand" in service.of("child.exited", status=-9)[2]["how"], "the next kill is no want of memory"
        assert service.terminate() == 0


def test_the_counters_of_both_versions_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    assert (memory.oom_kills(), memory.limit_bytes()) == (None, None)
    (tmp_path / "own").write_text("0::/a/group\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (2, None)
    (tmp_path / "a" / "group").mkdir(parents=True)
    (tmp_path / "a" / "group" / "memory.events").write_text("oom_kill 7\n")
    (tmp_path / "a" / "group" / "memory.max").write_text("536870912\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (7, 536870912)
    (tmp_path / "own").write_text("4:memory:/elsewhere\n3:cpu:/\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (3, None)
