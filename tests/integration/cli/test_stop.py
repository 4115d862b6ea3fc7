"""`python -m worker stop` as an operator uses it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.commands import run
from tests.support.service import Service, until
from tests.support.tasks import runs


@pytest.mark.parametrize("threads", ["1", "4"])
def test_it_stops_a_running_job_and_tells_how_it_ended(
    url: str, redis: redis_py.Redis, queue: Queue, tmp_path: Path, threads: str
) -> None:
    path = tmp_path / "journal"
    with Service(url, WORKER_THREADS=threads) as service:
        job = queue.enqueue(tasks.journal_and_wait, str(path), str(tmp_path / "never"), job_timeout=300)
        until(lambda: job.id in runs(path), service=service)
        told = run("stop", job.id, url=url)
        assert (told.returncode, told.stdout) == (0, f"The job {job.id} stopped.\n")
        assert redis.llen("rq:queue:dead-letter") == 0
        again = run("stop", job.id, url=url)
        assert (again.returncode, again.stderr) == (
            1,
            f"The job {job.id} does not run: it is stopped. Nothing was done.\n",
        )


def test_it_reads_nothing_of_the_payload(url: str, redis: redis_py.Redis, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    hostile = pickle.dumps(Hostile(str(trap)))
    for field in ("data", "meta", "result", "exc_info"):
        redis.hset("rq:job:bad", field, hostile)
    redis.hset("rq:job:bad", mapping={"status": "started", "worker_name": "gone", "origin": "default"})
    told = run("stop", "bad", "--wait", "0.3", url=url)
    assert told.returncode == 1
    assert "The worker gone does not listen" in told.stderr
    assert not trap.exists()


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path(self.path),)


def test_what_does_not_run_or_exist_is_said(url: str, queue: Queue) -> None:
    job = queue.enqueue(tasks.add, 1, 1)
    for job_id, said in ((job.id, "it is queued"), ("none", "There is no job none"), ("\x1b[2Jx", "\\x1b[2Jx")):
        told = run("stop", job_id, url=url)
        assert (told.returncode, told.stdout) == (1, "")
        assert said in told.stderr
