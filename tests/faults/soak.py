"""A soak: random faults of Redis under load for as long as asked, to the same processes all the time.

`make soak ARGS="--seconds 1800 --seed 7"`. Unlike the storm it kills none of our processes: whatever happens to Redis,
none may end. Every accepted job must begin once, and how long the first job after each fault took is told.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.fault_table import FAULTS
from tests.faults.load import PATIENCE_SECONDS, QUEUES, Load
from tests.faults.outages import Fault
from tests.faults.worlds import World, direct, everything, named, proxied
from tests.support.service import Service, until

#: A fault that loses the data loses jobs by right, and the name that moves needs a second address.
UNFIT = ("emptied", "moved")
INSTANCES = 2
CONSUMERS = 2


@dataclass
class Report:
    """What a soak did. `recoveries` are seconds from a fault's end to the end of a job enqueued then, by fault."""

    seed: int
    jobs: int = 0
    seconds: float = 0.0
    recoveries: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __str__(self) -> str:
        """Some lines for people."""
        every = sorted(second for times in self.recoveries.values() for second in times)
        p50, p99 = percentile(every, 50), percentile(every, 99)
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, {len(every)} faults: {self.jobs} jobs accepted, each ran once",
            f"0 jobs lost, 0 processes ended; first job after a fault: p50 {p50:.2f} s, p99 {p99:.2f} s",
        ]
        lines += [
            f"  {name:16} {len(times):4} × median {statistics.median(times):5.2f} s, longest {max(times):5.2f} s"
            for name, times in sorted(self.recoveries.items())
        ]
        return "\n".join(lines)


class Soak:
    """Two instances in one world, jobs that keep coming, and one fault after the other."""

    def __init__(self, world: World, folder: Path, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.report = Report(seed)
        self.load = Load(world.admin, folder / "journal", seconds=0.05)
        environ = {"WORKER_PROCESSES": str(CONSUMERS), "WORKER_QUEUES": ",".join(QUEUES), "LOG_LEVEL": "WARNING"}
        self.services = [Service(world.url, **environ, **world.environ) for _ in range(INSTANCES)]
        self.faults = [fault for fault in FAULTS if fault.world in (direct, proxied, named) and fault.name not in UNFIT]

    def run(self, seconds: float) -> Report:
        """Soak; raises `AssertionError` when a process ends or a job is lost or runs twice."""
        begun = time.monotonic()
        for service in self.services:
            service.start()
        try:
            with self.world.admin() as redis:
                until(lambda: redis.scard("rq:workers") == INSTANCES * CONSUMERS, PATIENCE_SECONDS)
            before = [service.pids() for service in self.services]
            with self.load.coming():
                while time.monotonic() < begun + seconds:
                    self._one(self.random.choice(self.faults))
                    assert [service.pids() for service in self.services] == before, self._what_was_said()
            self.load.settle()
            assert [service.pids() for service in self.services] == before, self._what_was_said()
            assert [service.terminate() for service in self.services] == [0] * INSTANCES
        finally:
            for service in self.services:
                service.kill_tree()
        self.report.jobs, self.report.seconds = len(self.load.accepted), time.monotonic() - begun
        return self.report

    def _one(self, fault: Fault) -> None:
        fault.begin(self.world)
        time.sleep(self.random.uniform(0, 8))
        fault.end(self.world)
        ended = time.monotonic()
        try:
            self.load.finish(self.load.enqueue())
        except AssertionError as error:
            raise AssertionError(f"after {fault.name}: {error}\n{self._what_was_said()}") from None
        self.report.recoveries[fault.name].append(time.monotonic() - ended)
        print(f"{fault.name}: {self.report.recoveries[fault.name][-1]:.2f} s", flush=True)
        time.sleep(self.random.uniform(0, 2))

    def _what_was_said(self) -> str:
        return "\n".join(service.tail(20) for service in self.services)


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest of sorted values that so many percent of them do not exceed."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def soak(seconds: float, seed: int) -> Report:
    """Run one soak in a world of its own."""
    with tempfile.TemporaryDirectory() as folder, everything(Path(folder)) as world:
        return Soak(world, Path(folder), seed).run(seconds)


def main() -> int:
    """Run a soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"A soak of {arguments.seconds:g} s with seed {arguments.seed} …", flush=True)
    try:
        print(soak(arguments.seconds, arguments.seed))
    except AssertionError as error:
        print(f"FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
