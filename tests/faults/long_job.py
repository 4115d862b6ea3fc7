"""A long job under blows: deploys, killed consumers, killed instances. It ends, and repeats next to nothing.

python -m tests.faults.long_job --seconds 600 --every 20
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from rq import Queue

from tests.support import tasks
from tests.support.server import RedisServer
from tests.support.service import Service, until

#: A deploy must not be waited for: the grace is longer than any test.
GRACE = "120"


@dataclass
class Ride:
    """What a long job went through."""

    units: int  #: steps and items
    status: str = ""
    seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)  #: how often each step and item began
    runs: int = 0
    stops: list[float] = field(default_factory=list)  #: from TERM to the end of the old release

    @property
    def repeated(self) -> int:
        """How many steps and items ran again."""
        return self.begun.total() - len(self.begun)

    def __str__(self) -> str:
        blows = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.blows.items()))
        stops = f"; an old release was gone {max(self.stops):.1f} s after TERM at most" if self.stops else ""
        return (
            f"{self.status} after {self.seconds:.0f} s and {self.blows.total()} blows ({blows}): {self.runs} runs, "
            f"{len(self.begun)} of {self.units} steps and items, {self.repeated} of them repeated, none more than "
            f"{max(self.begun.values(), default=0)} times{stops}"
        )


def ride(
    server: RedisServer, path: Path, *, seconds: float, every: float, unit: float, kinds: Sequence[str], **environ: str
) -> Ride:
    """Run one job of about `seconds` seconds, in units of `unit`, and strike `every` so many seconds."""
    half = max(1, int(seconds / unit / 2))
    told = Ride(2 * half)
    chance = random.Random(7)

    def service() -> Service:
        return Service(server.url, WORKER_PROCESSES="1", WORKER_SHUTDOWN_GRACE=GRACE, **environ)

    with server.client() as redis, ExitStack() as stack:
        current = stack.enter_context(service())
        queue = Queue("default", connection=redis)
        job = queue.enqueue(tasks.long_job, str(path), half, half, unit, job_timeout=int(10 * seconds) + 600)
        began = struck = monotonic()

        def deploy() -> None:
            nonlocal current
            old, current = current, stack.enter_context(service())
            current.wait_for("service.started")
            since = monotonic()
            old.terminate(timeout=unit + 30)
            told.stops.append(monotonic() - since)

        def kill_consumer() -> None:
            os.kill(current.children()[0], signal.SIGKILL)

        def kill_instance() -> None:
            nonlocal current
            current.kill_tree()
            current = stack.enter_context(service())

        blows = {"deploy": deploy, "kill consumer": kill_consumer, "kill instance": kill_instance}
        turn = 0
        while (state := job.get_status(refresh=True).value) not in ("finished", "failed"):
            if monotonic() - began > 8 * seconds + 300:
                raise AssertionError(f"the job does not end; it is {state}\n{current.tail()}")
            if monotonic() - struck >= every and state == "started":
                kind = kinds[turn % len(kinds)]
                sleep(chance.random() * unit)  # anywhere in a step
                before = path.read_text().count(" run ")
                blows[kind]()
                told.blows[kind] += 1
                turn, struck = turn + 1, monotonic()
                until(lambda before=before: path.read_text().count(" run ") > before or over(job), 90, service=current)
            sleep(0.05)
        told.status, told.seconds = state, monotonic() - began
    lines = [line.split()[1] for line in path.read_text().splitlines()]
    told.begun.update(line.removeprefix("begin:") for line in lines if line.startswith("begin:"))
    told.runs = lines.count("run")
    return told


def over(job: object) -> bool:
    """Whether a job has ended."""
    return job.get_status(refresh=True).value in ("finished", "failed")  # type: ignore[attr-defined]


def main() -> None:
    """Ride once and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", type=float, default=20.0)
    parser.add_argument("--unit", type=float, default=2.0)
    options = parser.parse_args()
    with RedisServer(aof=True) as server, tempfile.TemporaryDirectory() as folder:
        kinds = ("deploy", "kill consumer", "deploy", "kill consumer", "kill instance")
        told = ride(
            server,
            Path(folder) / "journal",
            seconds=options.seconds,
            every=options.every,
            unit=options.unit,
            kinds=kinds,
        )
    print(told)
    if told.status != "finished" or told.repeated > told.blows.total():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
