"""What the console costs, with very many jobs: `python -m bench.console`.

A million jobs wait, a hundred thousand dead letters lie there, and two hundred consumers are registered. Goals: each
page within 300 ms, no script of the server above 5 ms, 12 MB of the monitor's memory at most, no command while nobody
looks, and probes as fast as without anybody on the pages.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import threading
import time
from base64 import b64encode
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import redis as redis_py

from tests.support.letters import seed
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from worker.console.routes import ROUTES
from worker.redis import scripts

PASSWORD = "only-for-operators"
LOGIN = {"Authorization": "Basic " + b64encode(f"operator:{PASSWORD}".encode()).decode(), "Accept": "text/html"}
#: How often each page is asked for.
ROUNDS = 5
#: Makes jobs of a queue, ARGV[2] from number ARGV[1] on.
JOBS = """
local now = ARGV[3]
for number = ARGV[1], ARGV[1] + ARGV[2] - 1 do
  local id = 'job-' .. number
  redis.call('HSET', 'rq:job:' .. id, 'status', 'queued', 'origin', 'default', 'created_at', now, 'enqueued_at', now,
    'timeout', 180, 'data', '["shop.kind_' .. number % 20 .. '", null, ["order ' .. number .. '"], {}]')
  redis.call('RPUSH', 'rq:queue:default', id)
end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--consumers", type=int, default=200)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        redis = stack.enter_context(server.client())
        with contextlib.suppress(
            PermissionError
        ):  # it goes first, so that a script's time is its own: root may do that
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(1))
        fill(redis, wanted.jobs, wanted.letters, wanted.consumers)
        without, _ = monitor(stack, server, password="")
        with_it, port = monitor(stack, server, password=PASSWORD)
        time.sleep(11)
        print(f"connections of the console before anybody has looked: {len(connections(redis))}")
        alone = probe(port, 300)
        pages(redis, port)
        before, after = memory(without), memory(with_it)
        print(f"memory of the monitor: {before:.1f} MB without the console, {after:.1f} MB with every page seen")
        with Browsers(port, 20):
            crowd = probe(port, 300)
        time.sleep(11)
        idle = min((int(one["idle"]) for one in connections(redis)), default=0)
        print(f"its connections have asked nothing for {idle} s, 11 s after the last browser was closed")
        for who, (median, p99) in (("alone", alone), ("with twenty browsers on the page", crowd)):
            print(f"/livez {who}: median {median:.2f}, p99 {p99:.2f} ms")


def fill(redis: redis_py.Redis, jobs: int, letters: int, consumers: int) -> None:
    """Write jobs, letters and workers."""
    began, moment = time.perf_counter(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    make = redis.register_script(JOBS)
    for first in range(0, jobs, 5000):
        make(args=[first, min(5000, jobs - first), moment])
    redis.sadd("rq:queues", "rq:queue:default")
    seed(redis, letters, kinds=40)
    for number in range(consumers):
        name = f"srv-{number // 4}.ab12.{number % 4}"
        fields = {"state": "busy", "queues": "default", "hostname": "h", "last_heartbeat": moment, "memory_mb": 60}
        redis.hset(
            f"rq:worker:{name}", mapping={**fields, "birth": moment, "release": "3f2a9c1", "successful_job_count": 7}
        )
        redis.sadd("rq:workers", f"rq:worker:{name}")
        redis.sadd("rq:workers:default", f"rq:worker:{name}")
        redis.sadd(f"rq:worker:{name}:executions", f"job-{number}:{number}")
    print(f"filled within {time.perf_counter() - began:.0f} s")


def monitor(stack: ExitStack, server: RedisServer, password: str) -> tuple[Service, int]:
    """Start a monitor."""
    port = free_port()
    environ = {
        "HEALTH_PORT": str(port),
        "HEALTH_HOST": "127.0.0.1",
        "WORKER_QUEUES": "default",
        "MALLOC_ARENA_MAX": "2",
    }
    service = stack.enter_context(Service(server.url, "monitor", **environ, MONITOR_PASSWORD=password))
    until(lambda: answers(port), 60, service=service)
    return service, port


def answers(port: int) -> bool:
    """Whether Redis was reached."""
    try:
        return ask(port, "/healthz")[0] == 200
    except OSError:
        return False


def ask(port: int, path: str) -> tuple[int, float, int]:
    """Ask once; returns the status, milliseconds and bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path, headers=LOGIN)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, (time.perf_counter() - began) * 1000, len(body)


def pages(redis: redis_py.Redis, port: int) -> None:
    """Ask for all pages, one after the other, some times, and print the least that each took.

    A round lasts longer than what was read is kept. The least is what it costs: the rest is the machine's other work.
    """
    redis.config_set("slowlog-log-slower-than", 0)
    redis.config_set("slowlog-max-len", 20_000)
    letter = redis.lindex("rq:queue:dead-letter", 7)
    paths = [route.path for route in ROUTES if not route.acts and not route.path.endswith("/")] + ["/"]
    paths += ["/jobs?text=order+77", "/jobs?function=shop.kind_3", "/dead?function=*.kind_3", "/dead?exception=Nope"]
    paths += [f"/jobs/{letter.decode()}?show=all", "/jobs/job-7777?show=all"]
    took: dict[str, list[float]] = {path: [] for path in paths}
    longest: dict[str, list[tuple[float, str]]] = {path: [] for path in paths}
    sizes = {}
    for _ in range(ROUNDS):
        for path in paths:
            redis.slowlog_reset()
            status, milliseconds, sizes[path] = ask(port, path)
            assert status == 200, (path, status)
            took[path].append(milliseconds)
            slow = redis.slowlog_get(20_000)
            commands = [(one["duration"] / 1000, one["command"].decode(errors="replace").split(" ")) for one in slow]
            ran = [(took, scripts.BY_SHA[words[1]].name) for took, words in commands if words[0].startswith("EVAL")]
            longest[path].append(max(ran, default=(0.0, "")))
        time.sleep(5)
    print(f"{'page':32} {'least':>8} {'bytes':>9} {'longest script':>15}")
    for path in paths:
        milliseconds, script = min(longest[path])
        print(f"{path[:32]:32} {min(took[path]):5.0f} ms {sizes[path]:9,} {milliseconds:12.2f} ms {script}")
    redis.config_set("slowlog-log-slower-than", 10_000)


def connections(redis: redis_py.Redis) -> list[dict[str, str]]:
    """Return the console's own connections; the monitor's have another name."""
    return [one for one in redis.client_list() if one["name"].endswith(".console")]


def probe(port: int, times: int) -> tuple[float, float]:
    """Return median and p99 of a probe, in ms."""
    took = [ask(port, "/livez")[1] for _ in range(times)]
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


class Browsers:
    """Twenty browsers that renew their page every five seconds."""

    def __init__(self, port: int, count: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._browse, args=(port, number)) for number in range(count)]

    def _browse(self, port: int, number: int) -> None:
        self._over.wait(number / 4)
        while not self._over.is_set():
            ask(port, "/")
            self._over.wait(5)

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(5)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def memory(service: Service) -> float:
    """Return the resident memory of a monitor, in MB."""
    status = Path(f"/proc/{service.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
