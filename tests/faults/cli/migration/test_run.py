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

from tests.support import leaks, tasks
from tests.support.commands import run
from tests.support.engine import everything
from tests.support.processes import belong_to_the_tests
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker.exits import Exit

JOBS = 3000


def start(old: RedisServer, new: Proxy) -> subprocess.Popen[bytes]:
    """Start a migration whose target is far away, so that it is not over before the test has looked."""
    new.delay_to_server = 0.03
    environ = {"PATH": os.environ["PATH"], leaks.MARK: os.environ.get(leaks.MARK, "")}
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "migrate", "--from", old.url, "--to", new.url],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=belong_to_the_tests,
    )


def reached(process: subprocess.Popen[bytes], new: redis_py.Redis, mark: str, least: int) -> bool:
    return new.scard(f"rq:migration:{mark}") >= least or process.poll() is not None


def test_killed_half_way_and_run_again_it_carries_every_job_once(own_server: RedisServer, tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with (
        RedisServer() as new_server,
        Proxy(new_server.port) as proxy,
        own_server.client() as old,
        new_server.client() as new,
    ):
        queue = Queue("default", connection=old, serializer="json")
        queue.enqueue_many([Queue.prepare_data(tasks.journal, (path,), job_id=f"job-{n}") for n in range(JOBS)])
        queue.enqueue(tasks.boom, job_id="failing")
        consumer(old, "none").work(burst=True)
        before = everything(old)
        seen = []
        # While data are copied, when the first places are taken, and in the midst of that.
        for mark, least in (("copied", 300), ("moved", 1), ("moved", 800)):
            process = start(own_server, proxy)
            try:
                eventually(partial(reached, process, new, mark, least), 90, what=f"{least} jobs {mark}")
            finally:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            seen.append((new.scard("rq:migration:copied"), new.scard("rq:migration:moved"), process.returncode))
        assert any(0 < copied < JOBS for copied, _, _ in seen), seen
        assert any(0 < moved < JOBS for _, moved, _ in seen), seen
        done = run("migrate", "--from", own_server.url, "--to", new_server.url, url=None)
        assert done.returncode == 0, done.stderr + done.stdout
        carried = {key: value for key, value in everything(new).items() if not key.startswith("rq:migration:")}
        assert carried == {key: value for key, value in before.items() if not key.startswith(("rq:worker", "rq:clean"))}
        consumer(new).work(burst=True)
    ran = Counter(line.split()[0] for line in Path(path).read_text().splitlines())
    assert ran == Counter({f"job-{n}": 1 for n in range(JOBS)})


def test_a_server_that_dies_meanwhile_ends_it_in_words_and_the_next_run_finishes(
    server: RedisServer, own_server: RedisServer
) -> None:
    with server.client() as old, own_server.client() as new, Proxy(own_server.port) as proxy:
        queue = Queue("default", connection=old, serializer="json")
        queue.enqueue_many([Queue.prepare_data(tasks.add, (n, 1), job_id=f"job-{n}") for n in range(JOBS)])
        process = start(server, proxy)
        eventually(partial(reached, process, new, "copied", 300), 90, what="300 jobs copied")
        own_server.kill()
        _, told = process.communicate(timeout=90)
        assert process.returncode == Exit.REDIS
        assert told.startswith(b"Redis: ")
        assert b"Traceback" not in told
        own_server.restart(keep_data=True)
        done = run("migrate", "--from", server.url, "--to", own_server.url, url=None)
        assert done.returncode == 0, done.stderr + done.stdout
        assert new.lrange("rq:queue:default", 0, -1) == old.lrange("rq:queue:default", 0, -1)
        assert all(new.hget(f"rq:job:job-{n}", "status") == b"queued" for n in range(JOBS))
