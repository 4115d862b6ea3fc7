"""Thousands of odd records beside good jobs: python -m tests.faults.fuzz [--seed N] [--odd N] [--good N] [--threads N].

Ends with 0 if all good jobs have finished, no process has died that no killer ended, and nothing stays claimed.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from typing import Any

import redis as redis_py

from tests.support.hostile import KILLERS, QUEUE, good_fields, plant
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.dispatcher.strays import all_strays
from worker.redis.calls import ScriptCalls

#: What may end a killer's reader: thrice for each, and each time the jobs' deadline must pass first.
CALM_SECONDS = 60.0


def run(seed: int, odd: int, good: int, threads: int, *, killers: bool) -> list[str]:
    """Plant everything, run the service over it, and return what is wrong afterwards, one sentence each."""
    with RedisServer() as server, server.client() as redis:
        environ = {"WORKER_QUEUES": "default", "WORKER_THREADS": str(threads), "WORKER_UNKNOWN_GRACE": "1"}
        with Service(server.url, **environ) as service:
            service.wait_for("child.spawned", role="consumer", slot=1)
            _plant(redis, seed, odd, good, killers=killers)
            began = time.monotonic()
            wrong = _await(redis, service, good, killers=killers)
            print(f"calm after {time.monotonic() - began:.1f} s")
            deaths = collections.Counter(
                f"{line.get('role')} {line.get('reason') or line.get('how') or line.get('status')}"
                for line in service.of("child.exited")
            )
            print("deaths:", dict(deaths))
            if deaths and not killers:
                wrong.append(f"Children died: {dict(deaths)}.")
            tracebacks = [line for line in service.output if "Traceback" in line]
            if tracebacks:
                wrong.append(f"{len(tracebacks)} tracebacks were printed: {service.output[-30:]}")
            crashes = [line for line in service.events if line["event"].endswith(".crashed")]
            if crashes and not killers:
                ends = collections.Counter(line["exception"].strip().splitlines()[-1][:200] for line in crashes)
                wrong.append(f"{len(crashes)} crashes were logged: {dict(ends)}, the first: {crashes[0]}")
            wrong += [service.tail(8)] if wrong else []
            return wrong


def _plant(redis: redis_py.Redis, seed: int, odd: int, good: int, *, killers: bool) -> None:
    share, number = max(1, odd // 50), 0
    for part in range(50):
        plant(redis, share, seed * 1000 + part)
        with redis.pipeline(transaction=False) as pipe:
            for number in range(part * good // 50, (part + 1) * good // 50):
                pipe.hset(f"rq:job:good-{number}", mapping=good_fields(number, as_pickle=number % 2 == 0))  # type: ignore[arg-type]
                pipe.rpush(QUEUE, f"good-{number}")
            pipe.execute()
        if killers and part % 8 == 0 and part // 8 < len(KILLERS):
            name, data = list(KILLERS.items())[part // 8]
            redis.hset(
                f"rq:job:killer-{part // 8}", mapping={**good_fields(1, as_pickle=False), "data": data, "timeout": 5}
            )  # type: ignore[dict-item]
            redis.rpush(QUEUE, f"killer-{part // 8}")
            print("planted", name)


def _await(redis: redis_py.Redis, service: Service, good: int, *, killers: bool) -> list[str]:
    def unfinished() -> list[str]:
        with redis.pipeline(transaction=False) as pipe:
            for number in range(good):
                pipe.hget(f"rq:job:good-{number}", "status")
            statuses: list[Any] = pipe.execute()
        return [f"good-{number}: {status}" for number, status in enumerate(statuses) if status != b"finished"]

    def started() -> list[str]:
        """Return the jobs that say so, but for those astray, which the leader puts back ten minutes later."""
        astray = {stray.job_id for stray in all_strays(ScriptCalls(redis, "rq"))}
        return [
            f"{job_id} {redis.hmget(key, 'worker_name', 'origin')} {redis.zrange(f'rq:executions:{job_id}', 0, -1)}"
            for key in redis.scan_iter("rq:job:*", count=1000, _type="hash")
            if (job_id := key.decode(errors="replace").removeprefix("rq:job:")) not in astray
            and key.count(b":") == 2
            and redis.hget(key, "status") == b"started"
        ]

    wrong = []
    try:
        eventually(lambda: not unfinished(), CALM_SECONDS, what="all good jobs")
    except AssertionError:
        left = unfinished()
        wrong.append(f"{len(left)} good jobs have not finished, among them {left[:5]}.")
    claimed = set(started())  # with their executions: one that repeats for ever has others later
    try:
        eventually(lambda: claimed.isdisjoint(started()), CALM_SECONDS, what="nothing that is claimed for long")
    except AssertionError:
        left = sorted(claimed.intersection(started()))
        wrong.append(f"{len(left)} jobs stay claimed, among them {left[:8]}.")
    return wrong


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seed", 1), ("odd", 5000), ("good", 2000), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--no-killers", action="store_true")
    given = parser.parse_args()
    wrong = run(given.seed, given.odd, given.good, given.threads, killers=not given.no_killers)
    print("\n".join(wrong) or "All good jobs have finished, and nothing is left claimed.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
