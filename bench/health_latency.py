"""How fast /healthz answers while every core is busy running jobs: `python -m bench.health_latency`.

Starts the real service with one CPU-bound consumer a core and asks over HTTP, one connection a request as probes do.
Goal: a median below 10 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import urllib.request

from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    wanted = parser.parse_args().requests
    cores = os.cpu_count() or 1
    port = free_port()
    with (
        RedisServer() as server,
        Service(server.url, WORKER_PROCESSES=str(cores), HEALTH_PORT=str(port), HEALTH_HOST="127.0.0.1") as service,
        server.client() as redis,
    ):
        until(lambda: redis.scard("rq:workers") == cores, service=service)
        jobs = [Queue("default", connection=redis).enqueue(tasks.spin, 120) for _ in range(cores)]
        until(lambda: all(job.get_status() == "started" for job in jobs), service=service)
        milliseconds = []
        for _ in range(wanted):
            began = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                answer.read()
            milliseconds.append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)
    ranked = statistics.quantiles(milliseconds, n=100)
    print(f"/healthz with {cores} cores busy, {wanted} requests: median {ranked[49]:.1f} ms, p99 {ranked[98]:.1f} ms")


if __name__ == "__main__":
    main()
