"""Every kind of trouble that a real server, a proxy or a name server can make, done to a real service.

A fault begins and ends; meanwhile the service must stay the same processes, afterwards every accepted job must have run
once. `Trial.run` does it for one fault and measures how long noticing and recovering took.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.load import PATIENCE_SECONDS, QUEUES, Load
from tests.faults.worlds import World
from tests.support.service import Service, until

#: How long a fault lasts after it was noticed, or after it began when idle services need not notice it.
HOLD_SECONDS = 2.0
#: Consumers of the service.
CONSUMERS = 2


@dataclass(frozen=True)
class Fault:
    """One row of the table. `codes`: what the service may call it. `keeps_data`: jobs survive it.

    `notices`: whether it becomes an outage "always", only for a "busy" service (an idle one asks nothing that is
    refused), only for an "idle" one, "maybe" (it may be over too soon), or "never" (the retry at once works).
    """

    name: str
    title: str
    begin: Callable[[World], None]
    end: Callable[[World], None]
    codes: tuple[str, ...]
    world: Callable[[Path], contextlib.AbstractContextManager[World]]
    notices: Literal["always", "busy", "idle", "maybe", "never"] = "always"
    keeps_data: bool = True


@dataclass
class Row:
    """What came of one trial."""

    fault: Fault
    load: bool
    noticed: float | None = None  #: seconds from the fault to the first outage_started; None: nothing to notice
    recovered: float = 0.0  #: seconds from the fault's end to the end of a job that was enqueued then
    codes: set[str] = field(default_factory=set)
    jobs: int = 0


class Trial:
    """One fault, done to a service that is idle or under `load`.

    The idle one reads one queue, which its consumers watch themselves; the busy one two, which its dispatcher watches.
    """

    def __init__(self, fault: Fault, world: World, folder: Path, *, load: bool) -> None:
        self.fault, self.world, self.busy = fault, world, load
        queues = QUEUES if load else QUEUES[-1:]
        self.load = Load(world.admin, folder / "journal", queues=queues)
        self.service = Service(
            world.url, WORKER_PROCESSES=str(CONSUMERS), WORKER_QUEUES=",".join(queues), **world.environ
        )

    def run(self) -> Row:
        """Do it; raises `AssertionError` when a process ends, or a job is lost or runs twice."""
        row = Row(self.fault, self.busy)
        with self.service:
            before = self._up()
            with self.load.coming() if self.busy else contextlib.nullcontext():
                began = time.monotonic()
                self.fault.begin(self.world)
                if self._must_notice():
                    self._wait_for_outage()
                    row.noticed = time.monotonic() - began
                if self.fault.notices not in ("maybe", "never"):
                    time.sleep(HOLD_SECONDS)
                self.fault.end(self.world)
                ended = time.monotonic()
                if not self.fault.keeps_data:
                    self.load.accepted.clear()
                self.load.finish(self.load.enqueue())
                row.recovered = time.monotonic() - ended
            self.load.settle()
            until(self._all_connected, PATIENCE_SECONDS, what="the end of every outage", service=self.service)
            row.jobs = len(self.load.accepted)
            row.codes = {line["code"] for line in self._outages()}
            self._check(before, row)
            assert self.service.terminate() == 0
        return row

    def _up(self) -> list[int]:
        """Wait until everybody works; returns the consumers' pids."""
        with self.world.admin() as redis:
            until(lambda: redis.scard("rq:workers") == CONSUMERS, PATIENCE_SECONDS, service=self.service)
        self.load.finish(self.load.enqueue())
        return self.service.children()

    def _must_notice(self) -> bool:
        return self.fault.notices in ("always", "busy" if self.busy else "idle")

    def _outages(self) -> list[dict[str, str]]:
        return [*self.service.of("redis.outage_started"), *self.service.of("redis.outage_changed")]

    def _wait_for_outage(self) -> None:
        until(
            lambda: any(line["code"] in self.fault.codes for line in self._outages()),
            PATIENCE_SECONDS,
            what=f"an outage called {' or '.join(self.fault.codes)}",
            service=self.service,
        )

    def _all_connected(self) -> bool:
        return len(self.service.of("redis.outage_started")) == len(self.service.of("redis.outage_ended"))

    def _check(self, before: list[int], row: Row) -> None:
        assert self.service.children() == before, f"a consumer was replaced\n{self.service.tail()}"
        assert not self.service.of("child.exited"), self.service.tail()
        begun = len(self.service.of("redis.outage_started"))
        assert begun <= CONSUMERS + 1, f"outages come and go: {begun} for one fault\n{self.service.tail()}"
        if self.fault.notices == "never":
            assert not row.codes, f"no outage, but {row.codes}\n{self.service.tail()}"


def trial(fault: Fault, folder: Path, *, load: bool) -> Row:
    """Do one fault to a new service in a new world; `folder` is empty."""
    with fault.world(folder) as world:
        return Trial(fault, world, folder, load=load).run()
