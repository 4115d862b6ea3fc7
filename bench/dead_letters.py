"""How 100,000 dead letters are listed, grouped, replayed and kept in order: `python -m bench.dead_letters`.

Seeds a fresh server by pipeline, then runs the real commands as processes and measures their time and memory, start of
Python included. Goal: looking at them takes less than two seconds, and memory does not grow with their number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import redis as redis_py

from tests.support.letters import LETTERS, actions, seed
from tests.support.server import RedisServer
from worker.dead_letters.trim import Trim

#: What only reads is run so often and the best time counts: other load on the machine only adds.
REPEATS = 3
CHECKOUT = Path(__file__).parents[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=100_000)
    count = parser.parse_args().letters
    print(f"{'':52} {'seconds':>8} {'peak MB':>8}")
    for number in (max(1, count // 10), count):
        with RedisServer() as server, server.client() as redis:
            seed(redis, number, kinds=200)
            print(f"{number:,} dead letters, {redis.info('memory')['used_memory'] / number:,.0f} bytes each")
            for arguments in (
                ("list",),
                ("list", "--fingerprint", f"{7:012x}", "--limit", "0", "--json"),
                ("list", "--exception", "ValueError", "--limit", "0", "--json"),
                ("groups",),
                ("replay", "--all", "--dry-run"),
                ("export", "--output", os.devnull),
            ):
                tell(f"dead {' '.join(arguments)}", *min(run(server.url, *arguments) for _ in range(REPEATS)))
            tell("a pass of the upkeep", upkeep(redis), 0.0)
            tell("looking for one id on the whole queue", look_for(redis), 0.0)
            tell("dead replay --all", *run(server.url, "replay", "--all"))
            assert redis.llen("rq:queue:default") == number
            assert redis.llen(LETTERS) == 0


def run(url: str, *arguments: str) -> tuple[float, float]:
    """Run one command; returns its seconds and its peak resident memory in MB."""
    environ = {"PATH": os.environ["PATH"], "REDIS_URL": url, "WORKER_JOB_MODULES": "tests.support.tasks"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "dead", *arguments],
        cwd=CHECKOUT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"dead {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def upkeep(redis: redis_py.Redis) -> float:
    """Let the dispatcher's chore go once through everything; returns its seconds."""
    began = time.perf_counter()
    for _ in Trim(actions(redis), 86400, 10_000_000).steps():
        pass
    return time.perf_counter() - began


def look_for(redis: redis_py.Redis) -> float:
    """Look for an id that is not there, as a burial does whose id a producer has chosen; returns its seconds."""
    began = time.perf_counter()
    for _ in range(10):
        redis.lrem(LETTERS, 0, "nightly")
    return (time.perf_counter() - began) / 10


def tell(what: str, seconds: float, megabytes: float) -> None:
    """Print one line."""
    print(f"  {what[:50]:50} {seconds:8.3f} {f'{megabytes:8.0f}' if megabytes else ''}", flush=True)


if __name__ == "__main__":
    main()
