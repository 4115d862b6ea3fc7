"""A burst of jobs, an autoscaled fleet and a stub of Render whose instances are real services: what happens when.

`python -m tests.faults.burst` prints a trace, a line each second and one for each change. Times of the real thing are
longer: an instance takes Render a minute or so, here `BOOT_SECONDS`.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.render_stub import KEY, NAME, Render
from tests.support.server import RedisServer, free_port
from tests.support.service import Service
from tests.support.waiting import eventually

BOOT_SECONDS = 3.0
JOB_SECONDS = 0.5
LIMITS = {
    "AUTOSCALE_WAIT": "5",
    "AUTOSCALE_COOLDOWN": "8",
    "AUTOSCALE_IDLE": "6",
    "AUTOSCALE_MAX": "4",
    "MONITOR_INTERVAL": "1",
}


class Instances:
    """What Render does with a number: starts instances after a while, stops those that are too many.

    One thread for all, because what it starts dies with the thread that started it.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._living: list[Service] = []
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._converge, daemon=True)
        self._thread.start()
        self.exit_codes: list[int] = []

    def want(self, number: int) -> None:
        """Bring the number about, in the background as Render does."""
        self._wanted.put(number)

    def close(self) -> None:
        """End them all."""
        self._wanted.put(None)
        self._thread.join(120)

    def _converge(self) -> None:
        while (number := self._wanted.get()) is not None:
            if number > len(self._living):
                time.sleep(BOOT_SECONDS)
            while len(self._living) < number:
                self._living.append(Service(self._url, WORKER_QUEUES="default", WORKER_PROCESSES="1").start())
            while len(self._living) > number:
                service = self._living.pop(0)  # Render says not which; the oldest is as good as any
                self.exit_codes.append(service.terminate(timeout=60))
                service.kill_tree()
        for service in self._living:
            service.kill_tree()


@dataclass
class Trace:
    """What was seen: (seconds, waiting, oldest wait, instances asked for), and the changes with their reasons."""

    rows: list[tuple[float, int, float, int]] = field(default_factory=list)
    changes: list[tuple[float, int, int, str]] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)

    @property
    def most(self) -> int:
        """The most instances that were asked for."""
        return max(row[3] for row in self.rows)


def burst(jobs: int, *, show: bool = False) -> Trace:
    """Enqueue `jobs` at once on an idle fleet of one instance; returns when it is back to one."""
    trace = Trace()
    with RedisServer() as server:
        instances = Instances(server.url)
        try:
            with Render(on_scale=instances.want) as render, server.client() as redis:
                instances.want(1)
                eventually(lambda: redis.scard("rq:workers") == 1, 60, what="the first instance")
                with Service(
                    server.url,
                    "monitor",
                    WORKER_QUEUES="default",
                    HEALTH_PORT=str(free_port()),
                    AUTOSCALE_SERVICE=NAME,
                    RENDER_API_KEY=KEY,
                    RENDER_API_URL=render.url,
                    **LIMITS,
                ) as monitor:
                    monitor.wait_for("autoscaler.held", reason="at_minimum")
                    _watch(trace, monitor, render, redis, jobs, show=show)
        finally:
            instances.close()
            trace.exit_codes = instances.exit_codes
    return trace


def _watch(trace: Trace, monitor: Service, render: Render, redis: redis_py.Redis, jobs: int, *, show: bool) -> None:
    queue = Queue("default", connection=redis)
    began = time.monotonic()
    queue.enqueue_many([Queue.prepare_data(tasks.sleep, (JOB_SECONDS,)) for _ in range(jobs)])
    deadline = began + 240 + jobs * JOB_SECONDS
    while time.monotonic() < deadline:
        now = time.monotonic() - began
        for event in monitor.of("autoscaler.scaled")[len(trace.changes) :]:
            trace.changes.append((now, event["before"], event["after"], event["sentence"]))
            if show:
                print(f"{now:5.0f} s  {event['before']} → {event['after']}: {event['sentence']}", flush=True)
        waiting = redis.llen("rq:queue:default")
        trace.rows.append((now, waiting, _oldest(queue), render.instances))
        if show:
            print(
                f"{now:5.0f} s  {waiting:4} wait, the oldest {trace.rows[-1][2]:4.1f} s; {render.instances} instances"
            )
        if not waiting and trace.changes and trace.changes[-1][2] == render.instances == 1:
            return
        time.sleep(1.0)
    raise AssertionError(f"not back to one instance in time\n{monitor.tail()}")


def _oldest(queue: Queue) -> float:
    ids = queue.get_job_ids(0, 1)
    job = queue.fetch_job(ids[0]) if ids else None
    return time.time() - job.enqueued_at.timestamp() if job and job.enqueued_at else 0.0


def main() -> int:
    """Show one from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=150)
    burst(parser.parse_args().jobs, show=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
