"""A rehearsal of deploys: round after round a new release starts beside the old one under load, and the old one is
told to stop after a pause, as Render does it. In the end every accepted job must be finished, none buried, and each
must have run once, plus once for each time a stop interrupted it.

`make rehearsal ARGS="--rounds 20"`. Every release brings a function that the one before does not know, and producers
use it before it is there. Render pauses 60 s between the new release's start and the old one's TERM; `--pause` shortens
that.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import redis as redis_py
from rq import Queue

from tests.support import checker, tasks
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually

QUEUES = ("default", "high")
PACKAGE = "rehearsal_jobs"
GRACE_SECONDS = 2.0
#: Longer than the grace, shorter than a round: a stop interrupts it, the next release finishes it.
LONG_SECONDS = 3.5
#: The same, for a job that must still run when the stop comes, however slow the machine.
OCCUPYING_SECONDS = 8.0
CALM_SECONDS = 120.0


@dataclass
class Report:
    """What the rounds did and what became of the jobs; times are seconds."""

    rounds: int
    accepted: int = 0
    finished: int = 0
    buried: int = 0
    interrupted: int = 0
    waited_for_release: int = 0
    wrong_runs: list[str] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)  #: from TERM to the end of the process
    hand_backs: list[float] = field(default_factory=list)  #: from TERM until an interrupted job began again
    exit_codes: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Two lines for people."""
        return (
            f"{self.rounds} rounds: {self.accepted} accepted = {self.finished} finished + {self.buried} buried; "
            f"{self.interrupted} interrupted and run again, {self.waited_for_release} waits for a release; "
            f"{len(self.wrong_runs)} ran more or less often than that explains; exit codes {dict(self.exit_codes)}\n"
            f"drain {_spread(self.drains)} of a grace of {GRACE_SECONDS:g} s; "
            f"from TERM until an interrupted job runs again {_spread(self.hand_backs)}"
        )

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return (
            self.accepted == self.finished and not self.buried and not self.wrong_runs and set(self.exit_codes) == {0}
        )


class Rehearsal:
    """One run on a server of its own."""

    def __init__(self, server: RedisServer, folder: Path, seed: int, pause: float) -> None:
        self.server, self.folder, self.pause = server, folder, pause
        self.journal = str(folder / "journal")
        self.random = random.Random(seed)
        self.accepted: list[str] = []
        self.release = 0  #: the newest that producers know
        self._occupying: set[str] = set()
        self._over = threading.Event()

    def run(self, rounds: int) -> Report:
        """Deploy `rounds` times under load, wait for the calm, check."""
        report = Report(rounds)
        old = self._start()
        producer = threading.Thread(target=self._produce, daemon=True)
        producer.start()
        try:
            for _ in range(rounds):
                old = self._deploy(old, report)
            self._over.set()
            producer.join(30)
            self._settle(report, old)
            report.exit_codes[old.terminate(timeout=30)] += 1
            report.waited_for_release += len(old.of("job.waits_for_release"))
        finally:
            self._over.set()
            old.kill_tree()
        return report

    def _deploy(self, old: Service, report: Report) -> Service:
        self.release += 1
        with self.server.client() as client:
            queue = Queue(QUEUES[0], connection=client)
            early = queue.enqueue(f"{PACKAGE}.step_{self.release}", self.journal, at_front=True, result_ttl=86400)
            self.accepted.append(early.id)
        old.wait_for("job.waits_for_release", job_id=early.id)
        time.sleep(self.random.uniform(0.5, 1.5))  # the API is deployed a little before the worker
        new = self._start()
        try:
            new.wait_for("service.started", timeout=60)
            time.sleep(self.pause * self.random.uniform(0.5, 1.5))
            self._occupy(old)
            asked_at, began = time.time(), time.monotonic()
            report.exit_codes[old.terminate(timeout=60)] += 1
            report.drains.append(time.monotonic() - began)
            report.waited_for_release += len(old.of("job.waits_for_release"))
            interrupted = {event["job_id"] for event in old.of("job.interrupted")}
            report.interrupted += len(interrupted)
            for job_id in interrupted:
                again = eventually(lambda job_id=job_id: self._begun_after(job_id, asked_at), CALM_SECONDS, what=job_id)
                report.hand_backs.append(again - asked_at)
        except BaseException:
            new.kill_tree()
            raise
        finally:
            old.kill_tree()
        return new

    def _occupy(self, old: Service) -> None:
        """Have every consumer run a job that outlasts the grace, so that the stop has something to interrupt."""
        pids = set(old.children())
        with self.server.client() as client:
            queue = Queue("default", connection=client)
            for _ in range(4):  # the others may have taken them all, or have begun them too early
                if pids & self._occupied():
                    return
                arguments = (self.journal, OCCUPYING_SECONDS)
                jobs = [
                    queue.enqueue(tasks.journal_and_sleep, *arguments, at_front=True, result_ttl=86400)
                    for _ in range(2 * len(pids))
                ]
                self.accepted += [job.id for job in jobs]
                self._occupying |= {job.id for job in jobs}
                for job in jobs:
                    eventually(lambda job=job: self._begun_after(job.id, 0), CALM_SECONDS, what="a long job")

    def _occupied(self) -> set[int]:
        """The processes that have begun a long job so late that it outlasts a grace that begins now, with a margin."""
        latest = time.time() - (OCCUPYING_SECONDS - GRACE_SECONDS) / 2
        lines = [line.split() for line in Path(self.journal).read_text().splitlines()]
        return {
            int(pid)
            for job_id, word, pid, moment in lines
            if job_id in self._occupying and word == "begin" and float(moment) > latest
        }

    def _start(self) -> Service:
        package = self.folder / f"release-{self.release}" / PACKAGE
        package.mkdir(parents=True)
        steps = "".join(
            f"\n\ndef step_{number}(path):\n    tasks.journal(path, 'begin')\n" for number in range(self.release + 1)
        )
        (package / "__init__.py").write_text(f"from tests.support import tasks\n{steps}")
        return Service(
            self.server.url,
            PYTHONPATH=str(package.parent),
            WORKER_JOB_MODULES=f"tests.support.tasks,{PACKAGE}",
            WORKER_QUEUES=",".join(QUEUES),
            WORKER_SHUTDOWN_GRACE=str(GRACE_SECONDS),
            RENDER_GIT_COMMIT=f"release-{self.release}",
        ).start()

    def _produce(self) -> None:
        with self.server.client() as client:
            while not self._over.is_set():
                queue = Queue(self.random.choice(QUEUES), connection=client)
                options = {"result_ttl": 86400, "job_timeout": 60}
                kind = self.random.random()
                if kind < 0.75:
                    data = [
                        Queue.prepare_data(tasks.journal, (self.journal, "begin"), result_ttl=86400)
                        for _ in range(self.random.randrange(1, 30))
                    ]
                    self.accepted += [job.id for job in queue.enqueue_many(data)]
                elif kind < 0.9:
                    self.accepted.append(queue.enqueue(f"{PACKAGE}.step_{self.release}", self.journal, **options).id)
                elif kind < 0.95:
                    job = queue.enqueue_in(timedelta(seconds=1), tasks.journal, self.journal, "begin", result_ttl=86400)
                    self.accepted.append(job.id)
                else:
                    seconds = self.random.choice([0.3, 0.3, LONG_SECONDS])
                    self.accepted.append(queue.enqueue(tasks.journal_and_sleep, self.journal, seconds, **options).id)
                time.sleep(0.05)

    def _settle(self, report: Report, last: Service) -> None:
        with self.server.client() as client:
            try:
                eventually(lambda: checker.places(client, self.accepted, QUEUES).settled, CALM_SECONDS)
            except AssertionError:
                left = checker.places(client, self.accepted, QUEUES)
                told = f"missing {left.missing}, under way {left.under_way}, wrong {left.wrong}"
                raise AssertionError(f"not every job came to an end: {told}\n{last.tail()}") from None
            end = checker.places(client, self.accepted, QUEUES)
            report.accepted = len(self.accepted)
            report.finished, report.buried = len(end.finished), len(end.dead)
            self._count_runs(report, client)

    def _count_runs(self, report: Report, client: redis_py.Redis) -> None:
        runs = Counter(
            line.split()[0] for line in Path(self.journal).read_text().splitlines() if line.split()[1] == "begin"
        )
        for job_id in self.accepted:
            explained = 1 + int(client.hget(f"rq:job:{job_id}", "handbacks") or 0)
            if runs[job_id] != explained:
                report.wrong_runs.append(f"{job_id} ran {runs[job_id]} times instead of {explained}")

    def _begun_after(self, job_id: str, moment: float) -> float:
        """Return when the job first began after `moment`, 0 if it has not."""
        for line in Path(self.journal).read_text().splitlines():
            found, word, _pid, began = line.split()
            if found == job_id and word == "begin" and float(began) > moment:
                return float(began)
        return 0.0


def rehearse(rounds: int, seed: int, pause: float) -> Report:
    """Run one rehearsal on a server of its own; raises `AssertionError` when a job does not come to an end."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        return Rehearsal(server, Path(folder), seed, pause).run(rounds)


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "(none)"
    return f"{statistics.median(seconds):.2f} s in the middle, {max(seconds):.2f} s at most ({len(seconds)})"


def main() -> int:
    """Run a rehearsal from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds from the new release's start to TERM [2]")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"{arguments.rounds} deploys with seed {arguments.seed} …", flush=True)
    report = rehearse(arguments.rounds, arguments.seed, arguments.pause)
    print(report)
    print("\n".join(report.wrong_runs))
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
