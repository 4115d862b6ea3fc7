"""Failovers under load: the primary is killed, switched or frozen, and a real service follows it to the next one.

What was accepted (answered, and in the replica's hands: `WAIT`) must come to an end, and no process of the service may
end. `make failovers` does several of each kind and writes the table of docs/failover.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import redis as redis_py
from rq import Queue

from tests.faults.load import PATIENCE_SECONDS, QUEUES
from tests.support import checker, tasks
from tests.support.sentinels import DOWN_AFTER_MS, Guarded
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.trouble_page import put
from tests.support.waiting import eventually
from worker import queue as clients
from worker.settings import Settings

PAGE: Final = ROOT / "docs" / "failover.md"
#: Consumers of the service.
CONSUMERS: Final = 2
#: Jobs that keep coming: so many wait at most.
_WAITING: Final = 20
#: So many are accepted before the next failover.
_BETWEEN: Final = 50


def _kill(guarded: Guarded) -> Callable[[], object]:
    primary = guarded.primary
    primary.kill()
    return primary.start


def _switch(guarded: Guarded) -> Callable[[], object]:
    guarded.switch()
    return lambda: None


def _freeze(guarded: Guarded) -> Callable[[], object]:
    primary = guarded.primary
    primary.freeze()
    return primary.thaw


#: What is done to the primary; each returns what mends it.
KINDS: Final[dict[str, tuple[str, Callable[[Guarded], Callable[[], object]]]]] = {
    "kill": ("primary killed (`kill -9`)", _kill),
    "switch": ("switch for maintenance (`SENTINEL FAILOVER`)", _switch),
    "freeze": ("primary frozen (SIGSTOP)", _freeze),
}


@dataclass
class Row:
    """What came of one failover, in seconds: until the new primary took writes, and from then to the first job."""

    kind: str
    elected: float
    first_job: float
    codes: set[str] = field(default_factory=set)


class Trial:
    """A service under load on a primary that is failed over, as often as one likes."""

    def __init__(self, guarded: Guarded, folder: Path) -> None:
        self.guarded = guarded
        self.accepted: list[str] = []
        self._journal = folder / "journal"
        self._coming = threading.Event()
        self._settings = Settings.model_validate({"redis_url": guarded.url})
        self.service = Service(guarded.url, WORKER_PROCESSES=str(CONSUMERS), WORKER_QUEUES=",".join(QUEUES))

    def client(self) -> redis_py.Redis:
        """Return a client that follows the primary, as the service's do."""
        return clients.build_client(self._settings, client_name="test")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the service and let jobs come; at the end everything that was accepted must have come to an end."""
        with self.service:
            until(self._up, PATIENCE_SECONDS, what="the service", service=self.service)
            before = self.service.children()
            self._coming.set()
            producer = threading.Thread(target=self._produce, daemon=True)
            producer.start()
            try:
                until(lambda: len(tasks.runs(self._journal)) > 5, PATIENCE_SECONDS, what="load", service=self.service)
                yield
            finally:
                self._coming.clear()
                producer.join(60)
            until(self._settled, PATIENCE_SECONDS, what="the end of all jobs", service=self.service)
            assert self.service.children() == before, f"a consumer was replaced\n{self.service.tail()}"
            assert not self.service.of("child.exited"), self.service.tail()
            assert self.service.terminate() == 0, self.service.tail()

    def fail_over(self, kind: str) -> Row:
        """Do it once, as soon as it can go well."""
        eventually(self.guarded.settled, PATIENCE_SECONDS, what="a failover that can go well")
        accepted = len(self.accepted)
        until(lambda: len(self.accepted) >= accepted + _BETWEEN, PATIENCE_SECONDS, what="load", service=self.service)
        seen = len(self.service.of("redis.outage_started")) + len(self.service.of("redis.outage_changed"))
        heir = self.guarded.other
        began = time.monotonic()
        mend = KINDS[kind][1](self.guarded)
        elected, first_job = self._watch(heir, began)
        mend()
        outages = [*self.service.of("redis.outage_started"), *self.service.of("redis.outage_changed")]
        return Row(kind, elected, first_job, {str(line["code"]) for line in outages[seen:]})

    def _watch(self, heir: RedisServer, began: float) -> tuple[float, float]:
        """Wait until `heir` takes writes, then until a job has begun and ended on it; returns both in seconds."""
        with heir.client(decode_responses=True, socket_timeout=20) as client:
            until(lambda: _is_primary(client), PATIENCE_SECONDS, what="a primary", service=self.service)
            elected, moment = time.monotonic(), time.time()
            until(lambda: self._ended_since(client, moment), PATIENCE_SECONDS, what="a job", service=self.service)
            return elected - began, time.monotonic() - elected

    @staticmethod
    def _ended_since(client: redis_py.Redis, moment: float) -> bool:
        for queue in QUEUES:
            for job_id in client.zrange(f"rq:finished:{queue}", -3, -1):
                started = client.hget(f"rq:job:{job_id}", "started_at")
                if started and datetime.fromisoformat(started).timestamp() >= moment:
                    return True
        return False

    def _up(self) -> bool:
        with self.client() as redis:
            return bool(redis.scard("rq:workers") == CONSUMERS)

    def _produce(self) -> None:
        with self.client() as redis:
            while self._coming.is_set():
                with contextlib.suppress(redis_py.RedisError, OSError):
                    self._enqueue(redis)
                time.sleep(0.02)

    def _enqueue(self, redis: redis_py.Redis) -> None:
        if redis.llen(f"rq:queue:{QUEUES[-1]}") >= _WAITING:
            return
        data = [
            Queue.prepare_data(tasks.journal_and_sleep, (str(self._journal), 0.005), result_ttl=86400, timeout=30)
            for _ in range(4)
        ]
        jobs = Queue(QUEUES[-1], connection=redis).enqueue_many(data)
        if redis.wait(1, 50):  # else the replica may not have them: a kill now would lose them, whoever the worker is
            self.accepted += [job.id for job in jobs]

    def _settled(self) -> bool:
        with self.client() as redis:
            places = checker.places(redis, self.accepted, QUEUES)
        assert places.settled, places
        assert not places.dead, places
        return True


def _is_primary(client: redis_py.Redis) -> bool:
    try:
        return bool(client.role()[0] == "master")
    except redis_py.ConnectionError:  # Sentinel cuts all connections of a server whose role it changes
        return False


def table(rows: list[Row]) -> str:
    """Lay the rows out as docs/failover.md has them."""
    lines = ["| What happens to the primary | times | new primary after (s) | then first job after (s) | called |"]
    lines.append("|---|---:|---:|---:|---|")
    for kind, (title, _) in KINDS.items():
        mine = [row for row in rows if row.kind == kind]
        if mine:
            codes = ", ".join(f"`{code}`" for code in sorted(set().union(*(row.codes for row in mine)))) or "no outage"
            elected, first = (_range([getattr(row, name) for row in mine]) for name in ("elected", "first_job"))
            lines.append(f"| {title} | {len(mine)} | {elected} | {first} | {codes} |")
    return "\n".join(lines)


def _range(seconds: list[float]) -> str:
    low, high = f"{min(seconds):.1f}", f"{max(seconds):.1f}"
    return low if low == high else f"{low}–{high}"


def main() -> None:
    """Do several failovers of each kind, print the table and write it into docs/failover.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder, Guarded(down_after_ms=DOWN_AFTER_MS) as guarded:
        trial = Trial(guarded, Path(folder))
        with trial.running():
            for kind in [*KINDS] * rounds:
                rows.append(trial.fail_over(kind))
                print(rows[-1], flush=True)
    text = (
        f"Measured on {os.cpu_count()} cores, on one machine: {len(trial.accepted):,} accepted jobs, none "
        f"lost.\n\n{table(rows)}"
    )
    print(f"\n{text}")
    PAGE.write_text(put(PAGE.read_text(), "failovers", text))


if __name__ == "__main__":
    main()
