"""Thousands of odd records beside good jobs: python -m tests.faults.fuzz [--seed N] [--odd N] [--good N] [--threads N].

All good jobs must finish, nothing may stay claimed, and nobody may die but of a killer: each costs as many consumers as
WORKER_MAX_CRASHES allows, and one more where its batch had several jobs.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis as redis_py

from tests.support.hostile import DEADLY, KILLERS, QUEUE, good_fields, plant
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.dispatcher.strays import all_strays
from worker.redis.calls import ScriptCalls

#: The longest wait for calm: a killer that never ends takes ten seconds of a consumer, three times.
CALM_SECONDS = 180.0
#: Among so many parts all is mixed.
PARTS = 50


@dataclass(frozen=True)
class Fuzz:
    """One run."""

    seed: int
    odd: int
    good: int
    killers: Sequence[str]
    threads: int = 1
    processes: int = 4

    def run(self) -> list[str]:
        """Plant everything, run the service over it, and return what is wrong afterwards, one sentence each."""
        environ: dict[str, Any] = {
            "WORKER_QUEUES": "default",
            "WORKER_PROCESSES": str(self.processes),
            "WORKER_THREADS": str(self.threads),
            "WORKER_UNKNOWN_GRACE": "1",
        }
        with RedisServer() as server, server.client() as redis, Service(server.url, **environ) as service:
            service.wait_for("child.spawned", role="consumer", slot=0)
            self._plant(redis)
            began = time.monotonic()
            wrong = [*self._await(redis), *self._deaths(service)]
            print(f"seed {self.seed}: calm after {time.monotonic() - began:.1f} s; {len(service.events):,} log lines")
            if wrong:
                print(service.tail(8))
            return wrong

    def _plant(self, redis: redis_py.Redis) -> None:
        for part in range(PARTS):
            plant(redis, max(1, self.odd // PARTS), self.seed * 1000 + part)
            with redis.pipeline(transaction=False) as pipe:
                for number in range(part * self.good // PARTS, (part + 1) * self.good // PARTS):
                    fields = good_fields(number, as_pickle=number % 2 == 0)
                    pipe.hset(f"rq:job:good-{number}", mapping=fields)  # type: ignore[arg-type]
                    pipe.rpush(QUEUE, f"good-{number}")
                pipe.execute()
            if part % 8 == 0 and part // 8 < len(self.killers):
                fields = {**good_fields(1, as_pickle=False), "data": KILLERS[self.killers[part // 8]]}
                redis.hset(f"rq:job:killer-{part // 8}", mapping=fields)  # type: ignore[arg-type]
                redis.rpush(QUEUE, f"killer-{part // 8}")

    def _await(self, redis: redis_py.Redis) -> list[str]:
        wrong = []
        try:
            eventually(lambda: not self._unfinished(redis), CALM_SECONDS, what="all good jobs")
        except AssertionError:
            left = self._unfinished(redis)
            wrong.append(f"{len(left)} good jobs have not finished, among them {left[:5]}.")
        for number in range(len(self.killers)):
            try:
                buried = f"rq:job:killer-{number}"
                eventually(lambda key=buried: redis.hexists(key, "dead_letter"), CALM_SECONDS, what="its dead letter")  # type: ignore[misc]
            except AssertionError:
                wrong.append(f"The killer {self.killers[number]!r} is no dead letter.")
        claimed = set(self._started(redis))  # with their executions: one that repeats for ever has others later
        try:
            eventually(lambda: claimed.isdisjoint(self._started(redis)), CALM_SECONDS, what="nothing claimed for long")
        except AssertionError:
            left = sorted(claimed.intersection(self._started(redis)))
            wrong.append(f"{len(left)} jobs stay claimed, among them {left[:8]}.")
        return wrong

    def _unfinished(self, redis: redis_py.Redis) -> list[str]:
        with redis.pipeline(transaction=False) as pipe:
            for number in range(self.good):
                pipe.hget(f"rq:job:good-{number}", "status")
            statuses: list[Any] = pipe.execute()
        return [f"good-{number}: {status}" for number, status in enumerate(statuses) if status != b"finished"]

    def _started(self, redis: redis_py.Redis) -> list[str]:
        """Return the jobs that say so, but for those astray, which the leader puts back ten minutes later."""
        astray = {stray.job_id for stray in all_strays(ScriptCalls(redis, "rq"))}
        return [
            f"{job_id} {redis.hmget(key, 'worker_name', 'origin')} {redis.zrange(f'rq:executions:{job_id}', 0, -1)}"
            for key in redis.scan_iter("rq:job:*", count=1000, _type="hash")
            if (job_id := key.decode(errors="replace").removeprefix("rq:job:")) not in astray
            and key.count(b":") == 2
            and redis.hget(key, "status") == b"started"
        ]

    def _deaths(self, service: Service) -> list[str]:
        """Return what is wrong with who has died, and with what was logged."""
        wrong = []
        deadly = sum(name in DEADLY for name in self.killers)
        exits = service.of("child.exited")
        others = [line for line in exits if line["role"] != "consumer"]
        if others:
            wrong.append(f"Others than consumers died: {others[:3]}.")
        if len(exits) > 4 * deadly:
            how = collections.Counter(line.get("how") for line in exits)
            wrong.append(f"{len(exits)} consumers died of {deadly} killers: {dict(how)}.")
        faults = [line for line in service.events if line["event"].endswith((".crashed", ".mishandled", "er.failed"))]
        if faults:
            ends = collections.Counter(str(line.get("exception")).strip().splitlines()[-1][:200] for line in faults)
            wrong.append(f"{len(faults)} faults were logged: {dict(ends)}, the first: {faults[0]}")
        tracebacks = [line for line in service.output if "Traceback" in line]
        if tracebacks:
            wrong.append(f"{len(tracebacks)} tracebacks were printed: {service.output[-30:]}")
        return wrong


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seed", 1), ("odd", 5000), ("good", 2000), ("threads", 1), ("processes", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--no-killers", action="store_true")
    given = parser.parse_args()
    killers = [] if given.no_killers else list(KILLERS)
    fuzz = Fuzz(given.seed, given.odd, given.good, killers, threads=given.threads, processes=given.processes)
    wrong = fuzz.run()
    print("\n".join(wrong) or "All good jobs have finished, and nothing is left claimed.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
