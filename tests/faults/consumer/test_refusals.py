"""A consumer that dies over an outcome which the server refuses: the job is blamed for it, within a limit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.letters import record
from tests.support.proxy import Moment, Proxy
from tests.support.server import RedisServer
from tests.support.service import Service, until

NEIGHBOURS = 6


class Killer(Proxy):
    """Kills the consumer of a service instead of sending its server what it says next about a job's refused outcome.

    With `early` that is the PING that asks whether the server is there at all; else it is the job's burial.
    """

    def __init__(self, upstream_port: int, job_id: str, *, early: bool) -> None:
        super().__init__(upstream_port)
        self._job_id = job_id.encode()
        self._early = early
        self._settles = False
        self.service: Service | None = None
        self.kills = 0

    def fate(self, command: bytes) -> Moment | None:
        about_it = self._job_id in command and b"EVALSHA" in command
        if self._early:
            due = self._settles and b"\r\nPING\r\n" in command
            self._settles = self._settles or about_it
        else:
            due = about_it and b"outcome_refused" in command
        if not due or self.service is None:
            return None
        self._settles = False
        self.kills += 1
        for child in self.service.children():
            os.kill(child, signal.SIGKILL)
        return "before"


@contextmanager
def killed_over(server: RedisServer, job_id: str, *, early: bool, **environ: str) -> Iterator[tuple[Service, Killer]]:
    with (
        Killer(server.port, job_id, early=early) as killer,
        Service(killer.url, WORKER_PROCESSES="1", WORKER_QUEUES="default", **environ) as service,
    ):
        killer.service = service
        yield service, killer


@pytest.mark.slow  # consumers that die soon come back with a backoff
@pytest.mark.parametrize("early", [True, False], ids=["in the search", "over the burial"])
def test_a_refused_outcome_that_kills_its_consumer_each_time_ends_as_a_dead_letter_and_its_neighbours_finish(
    server: RedisServer, redis: redis_py.Redis, queue: Queue, tmp_path: Path, early: bool
) -> None:
    path = tmp_path / "journal"
    jobs = [queue.enqueue(tasks.journal, str(path), "begin", job_id=f"job-{number}") for number in range(NEIGHBOURS)]
    culprit = jobs[2]
    redis.set(f"rq:results:{culprit.id}", "not a stream")
    with killed_over(server, culprit.id, early=early, WORKER_MAX_CRASHES="2") as (service, killer):
        until(lambda: culprit.get_status() == "failed", 60, service=service)
        neighbours = [job for job in jobs if job is not culprit]
        until(lambda: all(job.get_status() == "finished" for job in neighbours), service=service)
    letter = record(redis, culprit.id)
    assert letter["reason"] == "crashed"
    assert "process was lost 2 times" in letter["message"]
    assert "Redis did not take its outcome" in letter["message"]
    assert 2 <= killer.kills <= 3, "when it was not alone, nobody was blamed"
    assert tasks.runs(path)[culprit.id] == killer.kills
    assert queue.started_job_registry.get_job_ids(cleanup=False) == []
    assert queue.count == 0
