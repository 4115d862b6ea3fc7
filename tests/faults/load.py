"""Jobs that keep coming past a fault, and the certainty that each accepted one ran once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import checker, tasks
from tests.support.waiting import eventually

QUEUES = ("high", "default")
#: The longest wait for anything; far more than is promised, because a test is no measurement.
PATIENCE_SECONDS = 120.0


class Load:
    """A producer on connections of its own, which `connect` makes; what the server has answered is accepted."""

    def __init__(
        self,
        connect: Callable[[], redis_py.Redis],
        journal: Path,
        *,
        queues: Sequence[str] = QUEUES,
        seconds: float = 0.02,
    ) -> None:
        self.accepted: list[str] = []
        self._queues = queues
        self._connect = connect
        self._journal = journal
        self._seconds = seconds
        self._coming = threading.Event()

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Keep some jobs waiting all the time, wherever the server lets us."""
        self._coming.set()
        producer = threading.Thread(target=self._produce, daemon=True)
        producer.start()
        try:
            eventually(lambda: len(tasks.runs(self._journal)) > 5, PATIENCE_SECONDS, what="the load")
            yield
        finally:
            self._coming.clear()
            producer.join(60)

    def enqueue(self) -> str:
        """Put one job in front of the others and return its id; the server must answer."""
        with self._connect() as redis:
            (job,) = Queue(self._queues[0], connection=redis).enqueue_many([self._data(0)])
        self.accepted.append(job.id)
        return str(job.id)

    def finish(self, job_id: str) -> None:
        """Wait until a job has finished."""
        with self._connect() as redis:
            eventually(
                lambda: Job.fetch(job_id, connection=redis).get_status() == "finished",
                PATIENCE_SECONDS,
                what="the end of a job",
            )

    def settle(self) -> None:
        """Wait until every accepted job has ended; none may be a dead letter, be lost or have begun twice."""
        with self._connect() as redis:
            eventually(
                lambda: checker.places(redis, self.accepted, self._queues).settled,
                PATIENCE_SECONDS,
                what="the end of all",
            )
            assert not checker.places(redis, self.accepted, self._queues).dead
        runs = tasks.runs(self._journal)
        often = {job_id: runs[job_id] for job_id in self.accepted if runs[job_id] != 1}
        assert not often, f"runs of jobs that did not run once: {often}"

    def _produce(self) -> None:
        while self._coming.is_set():
            with contextlib.suppress(redis_py.RedisError, OSError), self._connect() as redis:
                waiting = sum(int(redis.llen(f"rq:queue:{queue}")) for queue in self._queues)
                if waiting < 40:
                    data = [self._data(self._seconds) for _ in range(10)]
                    self.accepted += [job.id for job in Queue(self._queues[-1], connection=redis).enqueue_many(data)]
            time.sleep(0.05)

    def _data(self, seconds: float) -> object:
        arguments = (str(self._journal), seconds)
        return Queue.prepare_data(tasks.journal_and_sleep, arguments, result_ttl=86400, timeout=30)
