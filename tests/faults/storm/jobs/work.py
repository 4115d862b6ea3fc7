"""What the jobs of a storm do. Each run writes one line into the journal: job, round, pid, parent's pid, Unix time.

A *round* is a run that is wanted: the first one, a retry, a repeat. Two runs of one round mean that the job ran again.
"""

from __future__ import annotations

import os
import time

from redis.exceptions import RedisError
from rq import Retry, get_current_job
from rq.job import Job


def work(journal: str, seconds: float = 0.0, size: int = 0) -> bytes | None:
    """Take so long and return so many bytes, which do not compress."""
    begin(journal)
    time.sleep(seconds)
    return os.urandom(size) if size else None


def fail(journal: str, failures: int, retries: int) -> None:
    """Raise in the first rounds; `retries` is what its producer allows."""
    if retries - (begin(journal).retries_left or 0) < failures:
        raise ValueError("as it should")


def again(journal: str, times: int) -> Retry | None:
    """Return `Retry` so often."""
    return Retry(max=times, interval=1) if (begin(journal).number_of_retries or 0) < times else None


def note(journal: str) -> None:
    """Save meta, however often the server refuses it."""
    job = begin(journal)
    job.meta["noted"] = job.id
    while True:
        try:
            job.save_meta()
        except (RedisError, OSError):
            time.sleep(0.2)
        else:
            return


def take_long(_job: Job, _connection: object, *_rest: object) -> None:
    """Be the callback of a job."""
    time.sleep(0.4)


def tick(journal: str) -> None:
    begin(journal)


def tick_each_minute(journal: str) -> None:
    begin(journal)


def begin(journal: str) -> Job:
    """Write the line, in a single write, so that lines of several processes do not mix; returns the job."""
    job = get_current_job()
    assert job is not None
    round_ = f"{job.retries_left or 0}/{job.repeats_left or 0}/{job.number_of_retries or 0}"
    line = f"{job.id} {round_} {os.getpid()} {os.getppid()} {time.time():.6f}\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    return job
