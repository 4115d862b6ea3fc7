"""The course of a storm: two instances behind a proxy, a producer beside it, two streams of blows, and the calm."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import redis as redis_py
from rq import Queue

from tests.faults.storm.account import Account, Report, Struck
from tests.faults.storm.blows import ON_PROCESSES, ON_SERVER, Blow, Target, stormy
from tests.faults.storm.jobs import schedule, work
from tests.faults.storm.kinds import KINDS, RESULT_BYTES, Expected, Lot
from tests.faults.worlds import World
from tests.support import checker, processes
from tests.support.service import Service

QUEUES = ("default", "high")
#: From the last blow until everything must have settled: the life of a dead worker, its rescue, the look at what it
#: left untold, and the work itself.
CALM_SECONDS = 180.0
#: However slow the machine, less than this is no storm.
LEAST_BLOWS = 5
LEAST_JOBS = 200
#: The producer waits while so many jobs do: what is to settle after the storm is bounded.
MOST_WAITING = 300
#: Seconds between two blows of a stream.
PAUSES: Mapping[str, tuple[float, float]] = {"processes": (0.3, 2.0), "server": (0.2, 2.0)}


class Storm:
    """One storm; `environ` is added to the environment of the services."""

    def __init__(
        self, world: World, folder: Path, seed: int, *, queues: Sequence[str], threads: int, environ: Mapping[str, str]
    ) -> None:
        self.world, self.seed, self.queues = world, seed, queues
        self.journal = folder / "journal"
        self.journal.touch()
        self.report = Report(seed)
        self.accepted: list[Expected] = []
        self.struck: list[Struck] = []
        self._threads, self._environ = threads, environ
        self._over = threading.Event()
        self.services = [self._service() for _ in range(2)]
        self.killed: dict[int, float] = {}

    def run(self, seconds: float) -> Report:
        """Blow for `seconds`, wait for the calm, check."""
        begun = time.monotonic()
        with ThreadPoolExecutor() as pool:  # what its threads start dies with them: they live until the end
            try:
                for service in self.services:
                    service.start()
                streams = [
                    pool.submit(self._produce),
                    pool.submit(self._blow, "processes", ON_PROCESSES),
                    pool.submit(self._blow, "server", ON_SERVER),
                ]
                while time.monotonic() < begun + seconds or not self._is_a_storm():
                    if wait(streams, timeout=0.1, return_when=FIRST_EXCEPTION).done:
                        break
                self._over.set()
                for stream in streams:
                    stream.result()
                self.report.seconds = time.monotonic() - begun
                self._settle()
            finally:
                self._over.set()
                for service in self.services:
                    service.kill_tree()
        return self.report

    def _is_a_storm(self) -> bool:
        return self.report.blows.total() >= LEAST_BLOWS and len(self.accepted) >= LEAST_JOBS

    # -- the streams ---------------------------------------------------------------------------------------------------

    def _blow(self, stream: str, blows: Mapping[Blow, int]) -> None:
        """Let one blow of a stream follow the other; the same seed gives the same ones."""
        chance = random.Random(f"{self.seed} {stream}")
        target = Target(self.world, self.services, lambda: self._service().start(), chance, self.killed)
        while not self._over.is_set():
            (blow,) = chance.choices([*blows], [*blows.values()])
            self.report.blows[blow.__name__] += 1
            began = time.time()
            blow(target)
            self.struck.append(Struck(blow.__name__, began, time.time()))
            self._over.wait(chance.uniform(*PAUSES[stream]))
            if blows is ON_PROCESSES:  # between two blows of this stream every instance should be there
                self._look_for_ended_services()

    def _produce(self) -> None:
        """Enqueue on the server itself; what was answered is accepted, what was not may or may not be there."""
        chance = random.Random(f"{self.seed} jobs")
        while not self._over.wait(0.05):
            with contextlib.suppress(redis_py.RedisError, OSError), self.world.admin() as client:
                if sum(client.llen(f"rq:queue:{queue}") for queue in self.queues) > MOST_WAITING:
                    continue
                (kind,) = chance.choices([*KINDS], [*KINDS.values()])
                queue = Queue(chance.choice(self.queues), connection=client)
                for job in kind(Lot(kind.__name__, queue, str(self.journal), chance)):
                    self.accepted.append(job)

    def _service(self) -> Service:
        return Service(
            self.world.url,
            **{
                "WORKER_QUEUES": ",".join(self.queues),
                "WORKER_THREADS": str(self._threads),
                "WORKER_JOB_MODULES": "tests.faults.storm.jobs",
                "WORKER_MAX_CRASHES": "1000",
                "WORKER_MAX_RESULT_BYTES": str(RESULT_BYTES),
                "WORKER_SCHEDULER_INTERVAL": "1",
                "DEAD_LETTER_MAX_JOBS": "1000000",
                "STORM_JOURNAL": str(self.journal),
                **self._environ,
            },
        )

    def _look_for_ended_services(self) -> None:
        ended = [service for service in self.services if not processes.is_alive(service.pid)]
        assert not ended, "an instance has ended by itself:\n" + "\n".join(service.tail() for service in ended)

    # -- the calm ------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        calm_at = time.monotonic()
        with self.world.admin() as client:
            self.accepted += self._fired(client)
            left = self._ids()
            while left and time.monotonic() < calm_at + CALM_SECONDS:
                time.sleep(0.5)
                places = checker.places(client, left, self.queues)
                left = [*places.under_way, *places.wrong, *(places.missing - self._keeping_nothing())]
            self.report.settled_after = time.monotonic() - calm_at
            places = checker.places(client, self._ids(), self.queues)
            assert not left, self._what_is_left(client, places)
            self._look_for_ended_services()
            account = Account(client, self.report, self.journal, killed=self.killed, struck=self.struck)
            account.of_jobs(self.accepted, places)
            for name, interval in self._lines():
                account.of_schedule(name, interval, float(client.time()[0]))

    def _ids(self) -> list[str]:
        return [job.job_id for job in self.accepted]

    def _keeping_nothing(self) -> set[str]:
        return {job.job_id for job in self.accepted if "gone" in job.ends}

    def _fired(self, client: redis_py.Redis) -> Iterator[Expected]:
        """Return the jobs of the schedule so far, which nobody has accepted but the service."""
        for name, _ in self._lines():
            for job_id in client.zrange(f"rq:cron_job:{name}:jobs", 0, -1):
                yield Expected(job_id.decode(), "cron")

    def _lines(self) -> list[tuple[str, float]]:
        """Return the names of the schedule's lines, and the seconds between two firings."""
        lines = ((work.tick, schedule.INTERVAL_SECONDS), (work.tick_each_minute, schedule.MINUTE_SECONDS))
        return [(f"{function.__module__}.{function.__name__}", float(seconds)) for function, seconds in lines]

    def _what_is_left(self, client: redis_py.Redis, left: checker.Places) -> str:
        """Say which jobs have not come to an end, where they are, and what the services last said."""
        kinds = {job.job_id: job.kind for job in self.accepted}
        missing = left.missing - self._keeping_nothing()
        jobs = [*missing, *left.wrong, *left.under_way][:5]
        lines = [f"seed {self.seed}: not every accepted job has come to an end after {CALM_SECONDS:g} s of calm: "]
        lines.append(f"{len(missing)} missing, {len(left.under_way)} under way, wrong: {left.wrong}")
        lines += [f"{kinds[job_id]} {job_id}: {client.hgetall(f'rq:job:{job_id}')}" for job_id in jobs]
        lines += [f"places of the rate limit: {self._held_places(client)}"]
        lines += [f"wip {queue}: {client.zrange(f'rq:wip:{queue}', 0, 20, withscores=True)}" for queue in self.queues]
        lines += [service.tail(15) for service in self.services]
        return "\n".join(lines)

    def _held_places(self, client: redis_py.Redis) -> dict[str, object]:
        held = client.zrange(f"rq:rl:{checker.RATE_LIMIT}:allowed", 0, -1)
        return {job_id.decode(): client.hgetall(f"rq:job:{job_id.decode()}") for job_id in held}


def storm(
    seconds: float, seed: int, *, queues: int = 2, threads: int = 1, environ: Mapping[str, str] | None = None
) -> Report:
    """Run one storm on a server of its own; raises `AssertionError` when a job is lost or in two places.

    `queues` (1 or 2) and `threads` (jobs at once in a consumer) decide how consumers wait and claim.
    """
    with tempfile.TemporaryDirectory() as name, stormy(folder := Path(name)) as world:
        return Storm(world, folder, seed, queues=QUEUES[:queues], threads=threads, environ=environ or {}).run(seconds)
