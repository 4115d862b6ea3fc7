"""What fits an instance: proportional memory of the whole service by consumers and threads, after real jobs.

    python -m bench.fits

Each service runs the job that `make run` shows (`demo/`), 40 times for each job that it can run at once, so that every
consumer has loaded what such jobs need. MB are 2^20 bytes, as in Render's plans.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from redis import Redis
from rq import Queue

from tests.support import processes
from tests.support.server import RedisServer, free_port
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.cli import demonstration
from worker.cli.demonstration import Sample

SHAPES = [(1, 1), (2, 1), (4, 1), (8, 1), (1, 8), (1, 32), (2, 16), (2, 32)]
JOBS_A_SLOT = 40


def measure(redis: Redis, server: RedisServer, job: Sample, consumers: int, threads: int) -> tuple[float, float, float]:
    """Return MB of the idle service, MB after the jobs, and the jobs a second between."""
    with Service(
        server.url,
        WORKER_QUEUES="default",
        WORKER_JOB_MODULES="jobs",
        WORKER_PROCESSES=str(consumers),
        WORKER_THREADS=str(threads),
        WORKER_ALLOW_PRIVATE_ADDRESSES="true",
        HEALTH_PORT=str(free_port()),
        LOG_LEVEL="WARNING",
    ) as service:
        eventually(lambda: redis.scard("rq:workers") == consumers, 30)
        time.sleep(1)
        idle = processes.tree_pss(service.pid)
        began = time.monotonic()
        jobs = Queue("default", connection=redis).enqueue_many(
            [Queue.prepare_data(job.function, job.arguments) for _ in range(JOBS_A_SLOT * consumers * threads)]
        )
        eventually(lambda: redis.zcard("rq:finished:default") == len(jobs), 300, what="the end of the jobs")
        seconds = time.monotonic() - began
        worked = processes.tree_pss(service.pid)
        service.terminate()
    return idle / 2**20, worked / 2**20, len(jobs) / seconds


def main() -> int:
    """Print the table as Markdown."""
    print(
        "| consumers × threads | jobs at once | MB idle | MB after jobs | jobs/s |\n|---|---:|---:|---:|---:|",
        flush=True,
    )
    with RedisServer() as server, ExitStack() as stack, server.client() as redis:
        shown = demonstration.load(stack, server.url, "default", local=True)
        if shown is None:
            print("The package `demo`, which says what to run, is missing.", file=sys.stderr)
            return 1
        for consumers, threads in SHAPES:
            server.flush()
            idle, worked, rate = measure(redis, server, shown.first, consumers, threads)
            print(
                f"| {consumers} × {threads} | {consumers * threads} | {idle:.0f} | {worked:.0f} | {rate:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
