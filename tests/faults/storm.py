"""A storm: jobs keep coming while processes are killed and frozen, connections are cut at scripts, and the server is
killed and restarted; in the end every accepted job must be finished or a dead letter.

`make storm ARGS="--seconds 600"` runs one as long as asked and prints its seed; the same seed gives the same sequence
of blows (what they hit depends on the moment).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import redis as redis_py
from rq import Queue, Retry
from rq.job import Dependency
from rq.rate_limit import RateLimit

from tests.support import checker, tasks
from tests.support.checker import RATE_LIMIT
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.redis import scripts

QUEUES = ("default", "high")
#: From the last blow until everything must have settled: the life of a dead worker, its rescue, the look at what it
#: left untold, and the work itself.
CALM_SECONDS = 210.0
#: However slow the machine, less than this is no storm.
LEAST_BLOWS = 5
LEAST_JOBS = 200


@dataclass
class Report:
    """What a storm did and what became of the jobs."""

    seed: int
    blows: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    finished: int = 0
    dead: int = 0
    duplicates: int = 0
    unexplained: list[str] = field(default_factory=list)
    settled_after: float = 0.0

    def __str__(self) -> str:
        """One line for people."""
        blows = ", ".join(f"{count} × {name}" for name, count in sorted(self.blows.items()))
        return (
            f"seed {self.seed}: {self.accepted} accepted = {self.finished} finished + {self.dead} dead letters; "
            f"{self.duplicates} ran more than once, {len(self.unexplained)} of them without a blow to explain it; "
            f"calm after {self.settled_after:.1f} s; {self.blows.total()} blows: {blows}"
        )


class Storm:
    """Two instances behind a proxy, a producer beside it, and a stream of blows."""

    def __init__(
        self, server: RedisServer, proxy: Proxy, folder: Path, seed: int, *, queues: Sequence[str], threads: int
    ) -> None:
        self.server, self.proxy, self.seed = server, proxy, seed
        self.queues, self.threads = queues, threads
        self.journal = str(folder / "journal")
        self.random = random.Random(seed)
        self.report = Report(seed)
        self.accepted: list[str] = []
        self.blown_at: list[float] = []
        self._over = threading.Event()
        self.services = [self._service() for _ in range(2)]

    def run(self, seconds: float) -> Report:
        """Blow for `seconds`, wait for the calm, check."""
        for service in self.services:
            service.start()
        producer = threading.Thread(target=self._produce, daemon=True)
        producer.start()
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end or self.report.blows.total() < LEAST_BLOWS or len(self.accepted) < LEAST_JOBS:
                self._blow(self.random.choice(self._blows()))
                time.sleep(self.random.uniform(0.1, 0.8))
            self._over.set()
            producer.join(30)
            self._settle()
        finally:
            self._over.set()
            for service in self.services:
                service.kill_tree()
        return self.report

    def _blows(self) -> list[Callable[[], None]]:
        """Each as often as its weight."""
        weights = {
            self.kill_consumer: 6,
            self.kill_tree: 2,
            self.freeze_consumer: 2,
            self.cut_everything: 2,
            self.lose_before: 2,
            self.lose_after: 4,
            self.restart_server: 2,
            self.freeze_server: 1,
        }
        return [blow for blow, weight in weights.items() for _ in range(weight)]

    # -- blows ---------------------------------------------------------------------------------------------------------

    def kill_consumer(self) -> None:
        """SIGKILL one consumer."""
        children = self.random.choice(self.services).children()
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(children), signal.SIGKILL)

    def kill_tree(self) -> None:
        """SIGKILL a whole instance and start another in its place."""
        index = self.random.randrange(len(self.services))
        self.services[index].kill_tree()
        self.services[index] = self._service().start()

    def freeze_consumer(self) -> None:
        """Stop one consumer for a second."""
        children = self.random.choice(self.services).children()
        if children:
            victim = self.random.choice(children)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGSTOP)
                time.sleep(1)
                os.kill(victim, signal.SIGCONT)

    def cut_everything(self) -> None:
        """Cut every connection."""
        self.proxy.cut()

    def lose_before(self) -> None:
        """Cut one script call before the server sees it."""
        self._lose("before")

    def lose_after(self) -> None:
        """Cut one script call after the server acted, before the client knows."""
        self._lose("after")

    def restart_server(self) -> None:
        """Kill the server and start it again on its append-only file."""
        self.server.kill()
        time.sleep(self.random.uniform(0, 1))
        self.server.restart(keep_data=True)

    def freeze_server(self) -> None:
        """Stop the server for longer than anybody waits for an answer: it will read what was sent and given up."""
        self.server.freeze()
        time.sleep(self.random.uniform(5.5, 7.5))
        self.server.thaw()

    def _lose(self, when: str) -> None:
        script = self.random.choice([scripts.CLAIM, scripts.SETTLE, scripts.SETTLE, scripts.RETRY, scripts.BURY])
        self.proxy.lose(script.sha, "before" if when == "before" else "after")

    def _blow(self, blow: Callable[[], None]) -> None:
        self.report.blows[blow.__name__] += 1
        self.blown_at.append(time.time())
        blow()
        self.blown_at.append(time.time())

    # -- around them ---------------------------------------------------------------------------------------------------

    def _service(self) -> Service:
        return Service(
            self.proxy.url,
            WORKER_QUEUES=",".join(self.queues),
            WORKER_THREADS=str(self.threads),
            WORKER_MAX_CRASHES="1000",
            WORKER_SCHEDULER_INTERVAL="1",
            LOG_LEVEL="INFO",
        )

    def _produce(self) -> None:
        """Enqueue on the server itself; what was answered is accepted, what was not may or may not be there."""
        while not self._over.is_set():
            with contextlib.suppress(redis_py.RedisError, OSError), self.server.client(socket_timeout=5) as client:
                queue = Queue(self.random.choice(self.queues), connection=client)
                kind = self.random.random()
                if kind < 0.85:
                    data = [
                        Queue.prepare_data(tasks.journal, (self.journal, "begin"), result_ttl=86400, timeout=20)
                        for _ in range(self.random.randrange(1, 40))
                    ]
                elif kind < 0.95:
                    data = [
                        Queue.prepare_data(tasks.journal_and_sleep, (self.journal, 0.2), result_ttl=86400, timeout=20)
                    ]
                else:
                    data = [Queue.prepare_data(tasks.boom, retry=Retry(max=1), timeout=20)]
                self.accepted += [job.id for job in queue.enqueue_many(data)]
                if kind < 0.3:
                    self._produce_waiting(queue)
            time.sleep(0.05)

    def _produce_waiting(self, queue: Queue) -> None:
        """Enqueue a job that waits for another, which may fail, or jobs that wait for a slot of a rate limit.

        For one other only: of two that end in the same moment RQ's code may let each enqueue it, without any blow.
        """
        run = {"result_ttl": 86400, "job_timeout": 20}
        if self.random.random() < 0.5:
            for _ in range(3):
                job = queue.enqueue(tasks.journal, self.journal, "begin", rate_limit=RateLimit(RATE_LIMIT, 2), **run)
                self.accepted.append(job.id)
            return
        function, *arguments = self.random.choice([(tasks.journal, self.journal, "begin"), (tasks.boom,)])
        parent = queue.enqueue(function, *arguments, **run)
        self.accepted.append(parent.id)
        waits_for = Dependency([parent], allow_failure=True)
        self.accepted.append(queue.enqueue(tasks.journal, self.journal, "begin", depends_on=waits_for, **run).id)

    def _settle(self) -> None:
        calm_at = time.monotonic()
        with self.server.client() as client:
            try:
                eventually(lambda: checker.places(client, self.accepted, self.queues).settled, CALM_SECONDS)
            except AssertionError:
                raise AssertionError(self._what_is_left(client)) from None
            end = checker.places(client, self.accepted, self.queues)
        self.report.settled_after = time.monotonic() - calm_at
        self.report.accepted = len(self.accepted)
        self.report.finished, self.report.dead = len(end.finished), len(end.dead)
        self._explain_duplicates()

    def _what_is_left(self, client: redis_py.Redis) -> str:
        """Say which jobs have not come to an end, where they are, and what the services last said."""
        left = checker.places(client, self.accepted, self.queues)
        jobs = [*left.missing, *left.wrong, *left.under_way][:5]
        lines = [f"seed {self.seed}: not every accepted job has come to an end after {CALM_SECONDS:g} s of calm: "]
        lines.append(f"{len(left.missing)} missing, {len(left.under_way)} under way, wrong: {left.wrong}")
        lines += [f"{job_id}: {client.hgetall(f'rq:job:{job_id}')}" for job_id in jobs]
        lines += [f"wip {queue}: {client.zrange(f'rq:wip:{queue}', 0, 20, withscores=True)}" for queue in self.queues]
        lines += [service.tail(15) for service in self.services]
        return "\n".join(lines)

    def _explain_duplicates(self) -> None:
        """A second run needs a blow between the first one's begin and its own."""
        runs: defaultdict[str, list[float]] = defaultdict(list)
        for line in Path(self.journal).read_text().splitlines():
            job_id, word, _pid, moment = line.split()
            if word == "begin":
                runs[job_id].append(float(moment))
        for job_id, moments in runs.items():
            for first, second in pairwise(moments):
                self.report.duplicates += 1
                if not any(first - 1 <= blow <= second for blow in self.blown_at):
                    self.report.unexplained.append(f"{job_id} at {first} and {second}")


def storm(seconds: float, seed: int, *, queues: int = 2, threads: int = 1) -> Report:
    """Run one storm on a server of its own; raises `AssertionError` when a job is lost or in two places.

    `queues` (1 or 2) and `threads` (jobs at once in a consumer) decide how consumers wait and claim.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(aof=True) as server,
        Proxy(server.port) as proxy,
    ):
        return Storm(server, proxy, Path(folder), seed, queues=QUEUES[:queues], threads=threads).run(seconds)


def main() -> int:
    """Run storms from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--queues", type=int, default=2, choices=(1, 2))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(f"A storm of {arguments.seconds:g} s with seed {arguments.seed} …", flush=True)
    report = storm(arguments.seconds, arguments.seed, queues=arguments.queues, threads=arguments.threads)
    print(report)
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
