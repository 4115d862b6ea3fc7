"""A migration that is killed, again and again, loses nothing and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import redis as redis_py
from rq import Queue

from tests.integration.test_cli import run
from tests.support import leaks, snapshots, tasks
from tests.support.processes import die_with_the_tests
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.waiting import eventually
from tests.support.worker import consumer

JOBS = 3000


def start(old: RedisServer, new: RedisServer) -> subprocess.Popen[bytes]:
    environ = {"PATH": os.environ["PATH"], leaks.MARK: os.environ.get(leaks.MARK, "")}
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "migrate", "--from", old.url, "--to", new.url],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_the_tests,
    )


def reached(process: subprocess.Popen[bytes], new: redis_py.Redis, mark: str, least: int) -> bool:
    return new.scard(f"rq:migration:{mark}") >= least or process.poll() is not None


def test_killed_half_way_and_run_again_it_carries_every_job_once(own_server: RedisServer, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with RedisServer() as new_server, own_server.client() as old, new_server.client() as new:
        queue = Queue("default", connection=old, serializer="json")
        queue.enqueue_many([Queue.prepare_data(tasks.journal, (path,), job_id=f"job-{n}") for n in range(JOBS)])
        queue.enqueue(tasks.boom, job_id="failing")
        consumer(old, "none").work(burst=True)
        before = snapshots.take(old)
        seen = []
        # While data are copied, when the first places are taken, and in the midst of that.
        for mark, least in (("copied", 300), ("copied", 1500), ("moved", 1), ("moved", 800), ("moved", 2000)):
            process = start(own_server, new_server)
            try:
                eventually(partial(reached, process, new, mark, least), 30, what=f"{least} jobs {mark}")
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            seen.append((new.scard("rq:migration:copied"), new.scard("rq:migration:moved"), process.returncode))
        assert any(0 < copied < JOBS for copied, _, _ in seen), seen
        assert any(0 < moved < JOBS for _, moved, _ in seen), seen
        done = run("migrate", "--from", own_server.url, "--to", new_server.url, url=None)
        assert done.returncode == 0, done.stderr + done.stdout
        carried = {at: value for at, value in snapshots.take(new).items() if not at[0].startswith("rq:migration:")}
        expected = {at: value for at, value in before.items() if not at[0].startswith(("rq:worker", "rq:clean"))}
        assert snapshots.differences(expected, carried) == {}
        consumer(new).work(burst=True)
    ran = Counter(line.split()[0] for line in Path(path).read_text().splitlines())
    assert ran == Counter({f"job-{n}": 1 for n in range(JOBS)})
